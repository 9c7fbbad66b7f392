// Icons, drawn here: no font or emoji that a machine may lack.

import type { ComponentChildren } from "preact";
import { phaseName } from "../format";
import type { Phase } from "../protocol";

interface IconProps {
  className: string;
  /** What a screen reader says; decorative without. */
  label?: string | undefined;
  children: ComponentChildren;
}

function Icon({ className, label, children }: IconProps) {
  return (
    <svg
      class={`fn-icon ${className}`}
      viewBox="0 0 16 16"
      role={label === undefined ? "presentation" : "img"}
      aria-label={label}
      aria-hidden={label === undefined}
    >
      {children}
    </svg>
  );
}

const SHAPES: Record<Phase, ComponentChildren> = {
  QUEUED: <circle class="fn-stroke" cx="8" cy="8" r="5.25" stroke-dasharray="2.1 2.02" />,
  RUNNING: (
    <>
      <circle class="fn-stroke fn-faint" cx="8" cy="8" r="5.25" />
      <path class="fn-stroke fn-spin" d="M8 2.75a5.25 5.25 0 0 1 5.25 5.25" />
    </>
  ),
  SUCCEEDED: (
    <>
      <circle class="fn-fill" cx="8" cy="8" r="6" />
      <path class="fn-cut" d="M5.2 8.2l2 2 3.7-4.2" />
    </>
  ),
  FAILED: (
    <>
      <circle class="fn-fill" cx="8" cy="8" r="6" />
      <path class="fn-cut" d="M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4" />
    </>
  ),
  ABORTED: (
    <>
      <circle class="fn-stroke" cx="8" cy="8" r="5.25" />
      <path class="fn-stroke" d="M4.4 11.6l7.2-7.2" />
    </>
  ),
  TIMED_OUT: (
    <>
      <circle class="fn-fill" cx="8" cy="8" r="6" />
      <path class="fn-cut" d="M8 4.6v3.6l2.4 1.6" />
    </>
  ),
};

export function PhaseIcon({ phase, decorative = false }: { phase: Phase; decorative?: boolean }) {
  return (
    <Icon className={`fn-phase-${phase}`} label={decorative ? undefined : phaseName(phase)}>
      {SHAPES[phase]}
    </Icon>
  );
}

export function Twisty({ open }: { open: boolean }) {
  return (
    <Icon className={open ? "fn-twisty fn-open" : "fn-twisty"}>
      <path class="fn-stroke" d="M6.2 4.4L9.8 8l-3.6 3.6" />
    </Icon>
  );
}

export function GroupIcon() {
  return (
    <Icon className="fn-kind">
      <path class="fn-stroke" d="M8 2.8l5.2 2.6L8 8 2.8 5.4zM2.8 8L8 10.6 13.2 8M2.8 10.6L8 13.2l5.2-2.6" />
    </Icon>
  );
}

export function TraceIcon() {
  return (
    <Icon className="fn-kind">
      <path class="fn-stroke" d="M2.2 8.6h2.4l1.8-4.4 3 8 1.8-3.6h2.6" />
    </Icon>
  );
}

export function CloseIcon() {
  return (
    <Icon className="fn-close">
      <path class="fn-stroke" d="M4.4 4.4l7.2 7.2M11.6 4.4l-7.2 7.2" />
    </Icon>
  );
}
