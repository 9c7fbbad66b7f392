// What the kernel, a saved notebook and the browser say to each other about a run: types and names only.

export const RUN_MIME = "application/vnd.flyte-notebook.run.v1+json";

export const PHASES = ["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"] as const;

export type Phase = (typeof PHASES)[number];

export type Counts = Record<Phase, number>;

export type RowKind = "task" | "trace" | "group";

/** One line of the tree; the short names keep 20 patches a second small. */
export interface Row {
  /** Index in the run, from 0, in order of first sight; the key. */
  i: number;
  /** Parent's index; always smaller than `i`. Absent for roots. */
  p?: number;
  /** Action id; absent for groups. */
  id?: string;
  k: RowKind;
  /** Short name. */
  n: string;
  /** Task name. */
  t?: string;
  /** Absent for groups, whose phase follows from their items. */
  s?: Phase;
  /** Start and end, in milliseconds since the run's start. */
  b?: number;
  e?: number;
  /** Attempts; absent means one or none. */
  a?: number;
  /** Cached; recovered. */
  c?: boolean;
  r?: boolean;
  /** Preview of the result. */
  v?: string;
  /** The error in one line, and the line of the cell where it was raised. */
  x?: string;
  l?: number;
  /** A remark, such as "still running in a thread". */
  h?: string;
  /** Direct members by phase, where a saved notebook leaves some of them out. */
  g?: Counts;
}

export interface Header {
  name: string;
  phase: Phase;
  /** Milliseconds since the run's start when this was sent. */
  elapsed: number;
  ended: boolean;
  error: string | null;
  live: boolean;
  /** How many actions the run has, whether or not their rows are here. */
  total: number;
  /** The run that this one resumes, and how many of its actions were recovered. */
  resumed_from?: string;
  recovered?: number;
  /** Actions by phase, where not all of their rows are here. */
  counts?: Counts;
}

export interface Value {
  name?: string;
  type: string;
  text: string;
  /** A table written by the kernel's own escaping writer; shown only through `table.ts`. */
  html?: string;
}

export interface Failure {
  code: string;
  message: string;
  traceback: string;
  line?: number;
}

export interface LogChunk {
  stream: string;
  text: string;
}

export interface AttemptInfo {
  number: number;
  phase: Phase;
  /** Milliseconds; absent while it runs. */
  ms?: number;
  error?: string;
}

export interface Detail {
  inputs: Value[];
  output: Value | null;
  error: Failure | null;
  log: LogChunk[];
  source: string | null;
  declarations: Record<string, unknown>;
  attempts: AttemptInfo[];
  task: string;
  id: string;
  /** How a cached or recovered action came to its result, or why one ran again; null: nothing to tell. */
  reuse: string | null;
  /** A whole HTML document of the user's; shown only inside a sandboxed frame. */
  report: string | null;
}

/** What a notebook keeps of a finished run. */
export interface SavedRun {
  run: Header;
  rows: Row[];
  details: Map<number, Detail>;
  /** How many rows were left out. */
  truncated: number;
}

/** What resuming a failed run would run: how many actions on record, those that were never called left out. */
export interface Plan {
  /** When successes are recovered whose code is unchanged. */
  changed: number;
  /** When every success is. */
  keep: number;
  /** Why it cannot be resumed as things are, and what to do. */
  error: string | null;
}

/** What the tree of a failed run says to the kernel, besides what the view of a live one says. */
export type SaidByTree =
  | ToKernel
  | { type: "plan"; run: string }
  | { type: "resume"; run: string; keep: boolean };

/** What it is told, besides what the view of a live run is. `run` is the failed one. */
export type ToldToTree =
  | { type: "plan"; run: string; plan: Plan; going: boolean }
  | { type: "refused"; error: string }
  | { type: "saved"; run: string; bundle: Record<string, unknown> };

export type FromKernel =
  | { type: "snapshot"; seq: number; run: Header; rows: Row[] }
  | { type: "patch"; seq: number; run: Header; rows: Row[] }
  | { type: "detail"; i: number; detail: Detail }
  | { type: "header"; run: Header }
  | { type: "closed" };

/** `page` tells one load of a page from another: one that is loaded anew gets no more outputs of a running cell. */
export type ToKernel =
  | { type: "hello"; page: string }
  | { type: "detail"; i: number }
  | { type: "cancel"; i?: number };
