// The buttons of a failed tree, and why they cannot be used as things are.

import { useEffect, useId, useState } from "preact/hooks";
import { number } from "../format";
import type { Plan } from "../protocol";
import type { Resumption } from "../resumption";

/** Paints again after every change of what resuming would run, or is doing. */
export function useResumption(resumption: Resumption | null): void {
  const [, paint] = useState(0);
  useEffect(() => resumption?.subscribe(() => paint(count => count + 1)), [resumption]);
}

interface Choice {
  keep: boolean;
  label: string;
  title: string;
}

function choices({ changed, keep }: Plan): Choice[] {
  return [
    {
      keep: false,
      label: `Run what changed: ${number(changed)}`,
      title: "Recover what succeeded and is unchanged; run what failed, changed or never ran",
    },
    {
      keep: true,
      label: `Keep every success: ${number(keep)}`,
      title: "Recover every success, also where the code has changed; run what failed or never ran",
    },
  ];
}

function focus(element: HTMLElement | null): void {
  element?.focus({ preventScroll: true });
}

export function Offer({ resumption }: { resumption: Resumption }) {
  const id = useId();
  useResumption(resumption);
  const { plan, going, refused } = resumption;
  if (going) {
    // The button that was pressed is gone: the focus waits here for the new tree.
    return (
      <span class="fn-offer fn-muted" role="status" tabIndex={-1} ref={resumption.clicked ? focus : null}>
        Resuming…
      </span>
    );
  }
  // A run that this kernel's store does not know is nothing to offer anything for.
  if (plan === null || (plan.error !== null && plan.changed + plan.keep === 0)) return null;
  const reason = refused ?? plan.error;
  const blocked = plan.error !== null;
  return (
    <div class="fn-offer">
      {choices(plan).map(({ keep, label, title }) => (
        <button
          key={label}
          type="button"
          class="fn-button fn-resume"
          title={blocked ? (reason ?? title) : title}
          // Not `disabled`: a keyboard finds it, and a screen reader tells the reason.
          aria-disabled={blocked}
          aria-describedby={reason === null ? undefined : id}
          onClick={() => resumption.start(keep)}
        >
          {label}
        </button>
      ))}
      {reason !== null && (
        <span id={id} class={`fn-reason ${refused === null ? "" : "fn-error"}`} role="status">
          {reason}
        </span>
      )}
    </div>
  );
}
