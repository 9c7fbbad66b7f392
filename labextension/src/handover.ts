// What the reader has open in the live view, handed to the saved view that takes its place when the run ends.

import type { Outline } from "./outline";
import type { Node } from "./store";

/** In terms that survive the new numbers of saved rows. */
export interface Stance {
  selected: string | null;
  folds: Map<string, "open" | "closed">;
  /** Whether the details are shown, and which panel of them. */
  pane: boolean;
  panel: string | null;
  /** Whether the keyboard's focus is in the tree. */
  focused: boolean;
}

// The live view is one bundle and the saved view another: they meet on the page. A symbol cannot clash with anything.
const KEY = Symbol.for("flyte-notebook.handover");

type Stances = Map<string, () => Stance>;

function stances(): Stances {
  const page = globalThis as { [KEY]?: Stances };
  page[KEY] ??= new Map();
  return page[KEY];
}

/** Say, when asked, how the live view of `run` stands; the returned function keeps the last answer for a successor. */
export function offer(run: string, stance: () => Stance): () => void {
  stances().set(run, stance);
  return () => {
    const last = stance();
    if (stances().get(run) === stance) stances().set(run, () => last);
  };
}

/** The stance of the live view of `run`, once. */
export function take(run: string): Stance | null {
  const stance = stances().get(run);
  stances().delete(run);
  return stance?.() ?? null;
}

/** Names a row whatever its number: by action, or by group and what the group is in. */
export function nameOf(node: Node): string {
  if (node.row.id !== undefined) return node.row.id;
  return `${node.parent === null ? "" : nameOf(node.parent)}/${node.row.n}`;
}

export function standAs(outline: Outline, stance: Stance): void {
  for (const node of outline.store.nodes.values()) {
    const name = nameOf(node);
    const fold = stance.folds.get(name);
    if (fold === "open") outline.open(node);
    else if (fold === "closed") outline.close(node);
    if (name === stance.selected) outline.selected = node.index;
  }
}
