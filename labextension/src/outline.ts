// Which rows one view shows: folding, selection, and the flat list of lines they make. Pure; the store knows nothing of it.

import type { Node, RunStore } from "./store";

/** A folded row with failures inside shows the first few of them: a peek. */
export type FoldState = "leaf" | "open" | "closed" | "peek";

/** A row; the offer to show the rest of a peek; or the remark that the notebook left out further children. */
export type LineKind = "row" | "rest" | "left";

export interface Line {
  /** Stable while the tree changes: a row's index, or `-1 - index` of the parent of a line that is none. */
  key: number;
  node: Node;
  kind: LineKind;
  level: number;
  /** Place among the lines with the same parent, from 1, and how many those are. */
  position: number;
  size: number;
}

/** A task with more children than this starts folded, as groups do: its counts say more than its lines. */
export const MANY = 50;
/** So many failures unfold by themselves in a folded row. */
export const PEEK = 5;

interface Siblings {
  nodes: readonly Node[];
  next: number;
  level: number;
  size: number;
  /** What follows the nodes. */
  after: { node: Node; kind: "rest" | "left" } | null;
}

export class Outline {
  selected: number | null = null;
  readonly #folds = new Map<number, "open" | "closed">();
  #lines: Line[] = [];
  #structure = -1;

  constructor(readonly store: RunStore) {}

  state(node: Node): FoldState {
    if (node.children.length === 0) return "leaf";
    const chosen = this.#folds.get(node.index);
    if (chosen !== undefined) return chosen;
    if (!node.isGroup && node.children.length <= MANY) return "open";
    return node.failed.size > 0 ? "peek" : "closed";
  }

  /** The lines as they stand now; the same array until something changes. */
  lines(): readonly Line[] {
    if (this.#structure !== this.store.structure) {
      this.#structure = this.store.structure;
      this.#lines = this.#flatten();
    }
    return this.#lines;
  }

  /** Where the line with this key is, or -1. */
  placeOf(key: number | null): number {
    return key === null ? -1 : this.lines().findIndex(line => line.key === key);
  }

  get selectedLine(): Line | null {
    return this.lines()[this.placeOf(this.selected)] ?? null;
  }

  select(key: number): void {
    this.selected = key;
    // What holds the selection stays open, however many siblings arrive.
    const line = this.selectedLine;
    for (let node = line?.node.parent ?? null; node !== null; node = node.parent) {
      if (this.state(node) === "open") this.#folds.set(node.index, "open");
    }
  }

  open(node: Node): void {
    this.#fold(node, "open");
  }

  close(node: Node): void {
    this.#fold(node, "closed");
  }

  toggle(node: Node): void {
    if (this.state(node) === "open") this.close(node);
    else if (this.state(node) !== "leaf") this.open(node);
  }

  /** What was folded or unfolded by hand. */
  chosenFolds(): [Node, "open" | "closed"][] {
    return [...this.#folds].flatMap(([index, fold]) => {
      const node = this.store.nodes.get(index);
      return node === undefined ? [] : [[node, fold]];
    });
  }

  #fold(node: Node, state: "open" | "closed"): void {
    const offered = this.selected === -1 - node.index;
    this.#folds.set(node.index, state);
    this.#structure = -1;
    if (this.selected === null || this.placeOf(this.selected) >= 0) return;
    // The selected line is gone: opening a peek puts its first item there, closing the row itself.
    const child = node.children[0];
    this.selected = offered && state === "open" && child !== undefined ? child.index : node.index;
  }

  #flatten(): Line[] {
    const lines: Line[] = [];
    // A stack and not recursion: runs may be thousands of calls deep.
    const { roots } = this.store;
    const stack: Siblings[] = [{ nodes: roots, next: 0, level: 1, size: roots.length, after: null }];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const node = top.nodes[top.next++];
      if (node === undefined) {
        if (top.after !== null) lines.push(lineAfter(top.after, top.level, top.size));
        stack.pop();
        continue;
      }
      const { level, size } = top;
      const position = top.after?.kind === "rest" ? top.next : node.position;
      lines.push({ key: node.index, node, kind: "row", level, position, size });
      const inside = this.#inside(node, level + 1);
      if (inside !== null) stack.push(inside);
    }
    return lines;
  }

  #inside(node: Node, level: number): Siblings | null {
    const state = this.state(node);
    if (state === "open") {
      const { children } = node;
      const after = node.total > children.length ? { node, kind: "left" as const } : null;
      return { nodes: children, next: 0, level, size: children.length + (after === null ? 0 : 1), after };
    }
    if (state !== "peek") return null;
    const nodes = first(node.failed, PEEK).sort((one, other) => one.index - other.index);
    return { nodes, next: 0, level, size: nodes.length + 1, after: { node, kind: "rest" } };
  }
}

function lineAfter({ node, kind }: NonNullable<Siblings["after"]>, level: number, size: number): Line {
  return { key: -1 - node.index, node, kind, level, position: size, size };
}

function first<T>(items: Iterable<T>, count: number): T[] {
  const found: T[] = [];
  for (const item of items) {
    if (found.length === count) break;
    found.push(item);
  }
  return found;
}
