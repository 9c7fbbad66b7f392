// A group's items in a few figures.

import { number, phaseName } from "../format";
import { PHASES } from "../protocol";
import type { Node } from "../store";

export interface Summary {
  /** `340 of 1,000: 338 succeeded, 2 failed, 4 running`. */
  items: string;
  /** Milliseconds, of the items that have ended. */
  fastest: number;
  median: number;
  /** Null when no item has ended. */
  slowest: number | null;
}

export function summarise(node: Node, now: number): Summary {
  const ended = node.children
    .filter(({ extent }) => extent.begin !== undefined && extent.end !== undefined)
    .map(({ extent }) => (extent.end ?? now) - (extent.begin ?? now))
    .sort((one, other) => one - other);
  const phases = PHASES.filter(phase => node.counts[phase] > 0);
  const counted = phases.map(phase => `${number(node.counts[phase])} ${phaseName(phase).toLowerCase()}`);
  return {
    items: `${number(node.settled)} of ${number(node.total)}: ${counted.join(", ")}`,
    fastest: ended[0] ?? 0,
    median: ended[Math.floor(ended.length / 2)] ?? 0,
    slowest: ended.at(-1) ?? null,
  };
}
