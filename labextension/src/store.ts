// What is known of one run: its rows as a tree, with counts, phases and extents of groups kept up to date row by row.

import type { Counts, Detail, Header, Phase, Row, SavedRun } from "./protocol";
import { PHASES } from "./protocol";

/** Times in milliseconds since the run's start; `end` is undefined while something inside still runs. */
export interface Extent {
  begin: number | undefined;
  end: number | undefined;
}

export function isTerminal(phase: Phase): boolean {
  return phase !== "QUEUED" && phase !== "RUNNING";
}

export function isFailure(phase: Phase): boolean {
  return phase === "FAILED" || phase === "TIMED_OUT";
}

export function sum(counts: Counts): number {
  return PHASES.reduce((total, phase) => total + counts[phase], 0);
}

function noCounts(): Counts {
  return { QUEUED: 0, RUNNING: 0, SUCCEEDED: 0, FAILED: 0, ABORTED: 0, TIMED_OUT: 0 };
}

/** One row in its place. Groups have no phase and no times of their own: theirs follow from their items. */
export class Node {
  readonly children: Node[] = [];
  /** Direct children that are here, by phase. */
  readonly here: Counts = noCounts();
  /** Direct children that failed, in the order in which they did. */
  readonly failed = new Set<Node>();
  phase: Phase;
  begin: number | undefined;
  /** Latest end seen inside; of a group that still runs, not its end. */
  latest: number | undefined;

  constructor(
    public row: Row,
    readonly parent: Node | null,
    /** From 1, among its siblings. */
    readonly position: number,
  ) {
    this.phase = row.s ?? "QUEUED";
  }

  get index(): number {
    return this.row.i;
  }

  get isGroup(): boolean {
    return this.row.k === "group";
  }

  /** Direct children by phase, with those that a saved notebook left out. */
  get counts(): Counts {
    return this.row.g ?? this.here;
  }

  get total(): number {
    return Math.max(sum(this.counts), this.children.length);
  }

  /** Direct children that have ended. */
  get settled(): number {
    return this.total - this.counts.QUEUED - this.counts.RUNNING;
  }

  get extent(): Extent {
    return { begin: this.begin, end: isTerminal(this.phase) ? this.latest : undefined };
  }
}

export class RunStore {
  header: Header;
  readonly nodes = new Map<number, Node>();
  readonly roots: Node[] = [];
  readonly details = new Map<number, Detail>();
  /** The actions that are here, by phase; groups are not actions. */
  readonly #here: Counts = noCounts();
  /** Grows whenever rows appear or a failure may unfold something. */
  structure = 0;
  /** Rows that a saved notebook left out. */
  truncated = 0;
  /** The run whose cancelling was asked for here, and the actions. */
  cancelling = false;
  readonly cancellingActions = new Set<number>();
  #latest = 0;
  #heard: number;
  #origin: number | undefined;
  readonly #listeners = new Set<() => void>();

  /** `clock` gives milliseconds that never go backwards. */
  constructor(
    header: Header,
    readonly clock: () => number = () => performance.now(),
  ) {
    this.header = header;
    this.#heard = clock();
    this.setHeader(header);
  }

  static saved(saved: SavedRun): RunStore {
    const store = new RunStore(saved.run);
    store.merge(saved.rows);
    for (const [index, detail] of saved.details) store.details.set(index, detail);
    store.truncated = saved.truncated;
    return store;
  }

  /** Calls `listener` after every change; returns what undoes it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  notify(): void {
    for (const listener of this.#listeners) listener();
  }

  setHeader(header: Header): void {
    this.header = header;
    // Messages travel for a while: the one that took least tells the run's start best, and keeps time monotonic.
    const origin = this.clock() - header.elapsed;
    this.#origin = Math.min(this.#origin ?? origin, origin);
  }

  /** The kernel said something, and the views shall show it. */
  heard(): void {
    this.#heard = this.clock();
    this.notify();
  }

  /** Milliseconds since the kernel was last heard of, while there is something to hear. */
  get silence(): number {
    return this.ticking ? this.clock() - this.#heard : 0;
  }

  /** Milliseconds since the run's start: ticking while it is live, else where it ended. */
  now(): number {
    if (this.ticking && this.#origin !== undefined) return this.clock() - this.#origin;
    return Math.max(this.header.elapsed, this.#latest);
  }

  /** Every action by phase. */
  get counts(): Counts {
    return this.header.counts ?? this.#here;
  }

  get ticking(): boolean {
    return this.header.live && !this.header.ended;
  }

  /** Forget every row (not folds or selection, which are the views') and start from these. */
  replace(rows: Row[]): void {
    this.nodes.clear();
    this.roots.length = 0;
    for (const phase of PHASES) this.#here[phase] = 0;
    this.#latest = 0;
    this.structure++;
    this.merge(rows);
  }

  /** Add or update rows, parents first. */
  merge(rows: Row[]): void {
    for (const row of rows) {
      const node = this.nodes.get(row.i);
      if (node === undefined) this.#add(row);
      else this.#update(node, row);
    }
  }

  #add(row: Row): void {
    const parent = row.p === undefined ? null : (this.nodes.get(row.p) ?? null);
    const siblings = parent === null ? this.roots : parent.children;
    const node = new Node(row, parent, siblings.length + 1);
    siblings.push(node);
    this.nodes.set(row.i, node);
    this.structure++;
    if (!node.isGroup) this.#here[node.phase]++;
    else if (row.g !== undefined) node.phase = groupPhase(row.g);
    this.#stretch(node, row.b, row.e);
    if (parent !== null) this.#recount(parent, node, null, node.phase);
  }

  #update(node: Node, row: Row): void {
    const before = node.phase;
    // Where a row hangs is settled when it is first seen.
    node.row = row;
    this.#stretch(node, row.b, row.e);
    if (!node.isGroup) this.#enter(node, before, row.s ?? before);
  }

  #enter(node: Node, before: Phase, after: Phase): void {
    if (before === after) return;
    node.phase = after;
    if (!node.isGroup) {
      this.#here[before]--;
      this.#here[after]++;
    }
    if (node.parent !== null) this.#recount(node.parent, node, before, after);
  }

  /** A child of `parent` went from one phase to another; a group's own phase may follow, and so on upwards. */
  #recount(parent: Node, child: Node, before: Phase | null, after: Phase): void {
    if (before !== null) parent.here[before]--;
    parent.here[after]++;
    if (isFailure(after) && !parent.failed.has(child)) {
      parent.failed.add(child);
      this.structure++;
    }
    if (parent.isGroup) this.#enter(parent, parent.phase, groupPhase(parent.counts));
  }

  #stretch(node: Node, begin: number | undefined, end: number | undefined): void {
    if (begin !== undefined) node.begin = Math.min(node.begin ?? begin, begin);
    if (end !== undefined) node.latest = Math.max(node.latest ?? end, end);
    this.#latest = Math.max(this.#latest, begin ?? 0, end ?? 0);
    for (let group = node.parent; group?.isGroup; group = group.parent) {
      if (begin !== undefined) group.begin = Math.min(group.begin ?? begin, begin);
      if (end !== undefined) group.latest = Math.max(group.latest ?? end, end);
    }
  }
}

/** The phase of a group whose items are in these phases. */
function groupPhase(counts: Counts): Phase {
  const settled = counts.SUCCEEDED + counts.FAILED + counts.ABORTED + counts.TIMED_OUT;
  if (counts.RUNNING > 0) return "RUNNING";
  if (counts.QUEUED > 0) return settled > 0 ? "RUNNING" : "QUEUED";
  if (counts.FAILED > 0) return "FAILED";
  if (counts.TIMED_OUT > 0) return "TIMED_OUT";
  return counts.ABORTED > 0 ? "ABORTED" : "SUCCEEDED";
}
