// A bar of how many items are where: done, failed, running.

import { number, phaseName } from "../format";
import type { Counts, Phase } from "../protocol";

const SEGMENTS: readonly Phase[] = ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "RUNNING"];

export function Progress({ counts, total }: { counts: Counts; total: number }) {
  return (
    <span class="fn-progress" aria-hidden>
      {SEGMENTS.filter(phase => counts[phase] > 0).map(phase => (
        <span
          key={phase}
          class={`fn-segment fn-phase-${phase}`}
          style={{ width: `${(100 * counts[phase]) / Math.max(total, 1)}%` }}
        />
      ))}
    </span>
  );
}

/** `4 running · 2 failed`: what is worth saying besides how many are done. */
export function unsettled(counts: Counts): string {
  return (["RUNNING", "FAILED", "TIMED_OUT", "ABORTED"] as const)
    .filter(phase => counts[phase] > 0)
    .map(phase => `${number(counts[phase])} ${phaseName(phase).toLowerCase()}`)
    .join(" · ");
}
