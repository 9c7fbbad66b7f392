// What a notebook keeps of runs that resumed one another: each in the one before, as JSON, HTML and text.

import { readSavedRun } from "./parse";
import { RUN_MIME, type SavedRun } from "./protocol";

/** No notebook has so many; one that claims to is not believed further. */
const MOST = 100;

type Json = Record<string, unknown>;

function inside(run: unknown): unknown {
  return typeof run === "object" && run !== null ? (run as Json).resumed : undefined;
}

/** The saved run, the one that resumed it, and so on; empty when it was saved in a version that this bundle does not read. */
export function readSavedRuns(value: unknown): SavedRun[] {
  const runs: SavedRun[] = [];
  for (let raw = value; raw !== undefined && runs.length < MOST; raw = inside(raw)) {
    const saved = readSavedRun(raw);
    if (saved === null) break;
    runs.push(saved);
  }
  return runs;
}

/** The output `data` with the run of `bundle` after its last; null when it is there already, or is none. */
export function withResumed(data: Readonly<Json>, bundle: Readonly<Json>): Json | null {
  const run = readSavedRun(bundle[RUN_MIME]);
  const runs = readSavedRuns(data[RUN_MIME]);
  if (run === null || runs.length === 0 || runs.length === MOST) return null;
  if (runs.some(known => known.run.name === run.run.name)) return null;
  const first = structuredClone(data[RUN_MIME]) as Json;
  let last = first;
  for (let depth = 1; depth < runs.length; depth++) last = last.resumed as Json;
  last.resumed = bundle[RUN_MIME];
  return {
    ...data,
    [RUN_MIME]: first,
    "text/html": joined(data["text/html"], bundle["text/html"], "\n"),
    "text/plain": joined(data["text/plain"], bundle["text/plain"], "\n\n"),
  };
}

function joined(before: unknown, after: unknown, between: string): string {
  // Text on disk may be a list of lines.
  const parts = [before, after].map(part => (Array.isArray(part) ? part.join("") : part));
  return parts.filter(part => typeof part === "string" && part !== "").join(between);
}
