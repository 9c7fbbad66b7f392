// Untrusted JSON (a saved notebook, a message) into the protocol's types: whatever does not fit is dropped, nothing throws.

import type {
  AttemptInfo,
  Counts,
  Detail,
  Failure,
  FromKernel,
  Header,
  LogChunk,
  Phase,
  Row,
  RowKind,
  SavedRun,
  ToldToTree,
  Value,
} from "./protocol";
import { PHASES } from "./protocol";

type Json = Record<string, unknown>;

const KINDS: readonly RowKind[] = ["task", "trace", "group"];
const KNOWN_PHASES = new Set<unknown>(PHASES);
const TEXTS = ["id", "t", "v", "x", "h"] as const;

function object(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function count(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0;
}

function isIndex(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

function phase(value: unknown): Phase | undefined {
  return KNOWN_PHASES.has(value) ? (value as Phase) : undefined;
}

function counts(value: unknown): Counts | undefined {
  if (value === undefined || value === null) return undefined;
  const raw = object(value);
  return Object.fromEntries(PHASES.map(known => [known, Math.floor(count(raw[known]))])) as Counts;
}

/** A row, or null when it has no index. A parent that is not older than its child is dropped: no cycles. */
export function readRow(value: unknown): Row | null {
  const raw = object(value);
  if (!isIndex(raw.i)) return null;
  const kind = KINDS.find(known => known === raw.k) ?? "task";
  const row: Row = { i: raw.i, k: kind, n: text(raw.n) || "unnamed" };
  if (isIndex(raw.p) && raw.p < raw.i) row.p = raw.p;
  if (kind !== "group") row.s = phase(raw.s) ?? "QUEUED";
  for (const key of TEXTS) {
    const value = raw[key];
    if (typeof value === "string" && value !== "") row[key] = value;
  }
  if (isTime(raw.b)) row.b = raw.b;
  if (isTime(raw.e)) row.e = raw.e;
  if (isIndex(raw.a)) row.a = raw.a;
  if (isIndex(raw.l)) row.l = raw.l;
  if (raw.c === true) row.c = true;
  if (raw.r === true) row.r = true;
  const members = counts(raw.g);
  if (members !== undefined) row.g = members;
  return row;
}

export function readRows(value: unknown): Row[] {
  // Parents come before their children in order of index, whatever order they were sent in.
  return list(value)
    .map(readRow)
    .filter(row => row !== null)
    .sort((one, other) => one.i - other.i);
}

export function readHeader(value: unknown): Header {
  const raw = object(value);
  const known = counts(raw.counts);
  return {
    name: text(raw.name) || "run",
    phase: phase(raw.phase) ?? "QUEUED",
    elapsed: count(raw.elapsed),
    ended: raw.ended === true,
    error: textOrNull(raw.error),
    live: raw.live === true,
    total: count(raw.total),
    ...(text(raw.resumed_from) && { resumed_from: text(raw.resumed_from), recovered: count(raw.recovered) }),
    ...(known && { counts: known }),
  };
}

function readValue(value: unknown): Value {
  const raw = object(value);
  const read: Value = { type: text(raw.type), text: text(raw.text) };
  if (typeof raw.name === "string") read.name = raw.name;
  if (typeof raw.html === "string") read.html = raw.html;
  return read;
}

function readFailure(value: unknown): Failure | null {
  const raw = object(value);
  if (typeof raw.code !== "string") return null;
  const read: Failure = { code: raw.code, message: text(raw.message), traceback: text(raw.traceback) };
  if (isIndex(raw.line)) read.line = raw.line;
  return read;
}

function readLog(value: unknown): LogChunk[] {
  return list(value)
    .map(object)
    .map(raw => ({ stream: text(raw.stream) || "stdout", text: text(raw.text) }));
}

function readAttempts(value: unknown): AttemptInfo[] {
  return list(value)
    .map(object)
    .map(raw => {
      const read: AttemptInfo = { number: count(raw.number), phase: phase(raw.phase) ?? "QUEUED" };
      if (isTime(raw.ms)) read.ms = raw.ms;
      if (typeof raw.error === "string") read.error = raw.error;
      return read;
    });
}

export function readDetail(value: unknown): Detail {
  const raw = object(value);
  return {
    inputs: list(raw.inputs).map(readValue),
    output: raw.output === null || raw.output === undefined ? null : readValue(raw.output),
    error: readFailure(raw.error),
    log: readLog(raw.log),
    source: textOrNull(raw.source),
    declarations: object(raw.declarations),
    attempts: readAttempts(raw.attempts),
    task: text(raw.task),
    id: text(raw.id),
    reuse: textOrNull(raw.reuse),
    report: textOrNull(raw.report),
  };
}

/** A message of the kernel, or null when it is none that this bundle knows. */
export function readMessage(value: unknown): FromKernel | null {
  const raw = object(value);
  switch (raw.type) {
    case "snapshot":
    case "patch":
      return { type: raw.type, seq: count(raw.seq), run: readHeader(raw.run), rows: readRows(raw.rows) };
    case "detail":
      return isIndex(raw.i) ? { type: "detail", i: raw.i, detail: readDetail(raw.detail) } : null;
    case "header":
      return { type: "header", run: readHeader(raw.run) };
    case "closed":
      return { type: "closed" };
    default:
      return null;
  }
}

/** What the tree of a failed run is told, or null when it is something else. */
export function readTold(value: unknown): ToldToTree | null {
  const raw = object(value);
  const run = text(raw.run);
  switch (raw.type) {
    case "plan": {
      const plan = { changed: count(raw.changed), keep: count(raw.keep), error: textOrNull(raw.error) };
      return { type: "plan", run, plan, going: raw.going === true };
    }
    case "refused":
      return { type: "refused", error: text(raw.error) };
    case "saved":
      return { type: "saved", run, bundle: object(raw.bundle) };
    default:
      return null;
  }
}

/** A saved run, or null when it was saved in a version that this bundle does not read. */
export function readSavedRun(value: unknown): SavedRun | null {
  const raw = object(value);
  if (raw.version !== 1) return null;
  const details = new Map<number, Detail>();
  for (const [key, detail] of Object.entries(object(raw.details))) {
    const index = Number(key);
    if (isIndex(index)) details.set(index, readDetail(detail));
  }
  // A saved run is over and has no kernel, whatever the file claims.
  const run = { ...readHeader(raw.run), live: false };
  return { run, rows: readRows(raw.rows), details, truncated: count(raw.truncated) };
}
