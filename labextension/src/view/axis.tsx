// The shared time axis above the bars.

import { roundStep, tick } from "../format";

const MOST_TICKS = 4;

/** Milliseconds between two ticks of an axis that ends at `end` ms. */
export function axisStep(end: number): number {
  return roundStep(end, MOST_TICKS);
}

export function AxisHeader({ end }: { end: number }) {
  const step = axisStep(end);
  const ticks: number[] = [];
  // A label needs room to its right.
  for (let at = 0; at <= end * 0.9; at += step) ticks.push(at);
  return (
    <div class="fn-columns" aria-hidden>
      <span>Action</span>
      <span>Result</span>
      <span class="fn-axis">
        {ticks.map(at => (
          <span key={at} class="fn-tick" style={{ left: `${(100 * at) / end}%` }}>
            {tick(at, step)}
          </span>
        ))}
      </span>
      <span class="fn-time">Time</span>
    </div>
  );
}
