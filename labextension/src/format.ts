// Numbers and durations as people read them, and round numbers for a time axis.

import type { Phase } from "./protocol";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

const PHASE_NAMES: Record<Phase, string> = {
  QUEUED: "Queued",
  RUNNING: "Running",
  SUCCEEDED: "Succeeded",
  FAILED: "Failed",
  ABORTED: "Aborted",
  TIMED_OUT: "Timed out",
};

export function phaseName(phase: Phase): string {
  return PHASE_NAMES[phase];
}

/** Milliseconds as `340 ms`, `1.24 s`, `12.4 s`, `2 m 05 s`, `3 h 07 m`. */
export function duration(ms: number): string {
  const value = Math.max(0, ms);
  if (value < 10 && value > 0) return `${value < 0.1 ? "<0.1" : value.toFixed(1)} ms`;
  if (Math.round(value) < SECOND) return `${Math.round(value)} ms`;
  if (value < 9.995 * SECOND) return `${(value / SECOND).toFixed(2)} s`;
  if (value < 59.95 * SECOND) return `${(value / SECOND).toFixed(1)} s`;
  return clock(value);
}

/** What ticks: tenths of a second, and whole seconds from a minute on. */
export function elapsed(ms: number): string {
  const value = Math.max(0, ms);
  return value < 59.95 * SECOND ? `${(value / SECOND).toFixed(1)} s` : clock(value);
}

function clock(ms: number): string {
  const seconds = Math.round(ms / SECOND);
  const pad = (value: number) => String(value).padStart(2, "0");
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${pad(seconds % 60)} s`;
  const minutes = Math.round(ms / MINUTE);
  return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} m`;
}

/** `12,345`: the same everywhere, as a saved notebook is. */
export function number(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Without terminal colours and other escape sequences. */
export function plain(text: string): string {
  return text.replace(/\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)/g, "");
}

const ROUND_MS = [
  1,
  2,
  5,
  10,
  20,
  50,
  100,
  200,
  500,
  SECOND,
  2 * SECOND,
  5 * SECOND,
  10 * SECOND,
  15 * SECOND,
];
const ROUND_LONG = [30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR];
const ROUND = [...ROUND_MS, ...ROUND_LONG];

/** The smallest round step, in ms, of which at most `most` fit into `span` ms. */
export function roundStep(span: number, most: number): number {
  const found = ROUND.find(step => span / step <= most);
  if (found !== undefined) return found;
  let hours = HOUR;
  while (span / hours > most) hours *= 2;
  return hours;
}

/** A label for a time on the axis, no more precise than `step`. */
export function tick(ms: number, step: number): string {
  if (ms === 0) return "0";
  if (step < SECOND && ms < SECOND) return `${ms} ms`;
  if (step < MINUTE && ms < MINUTE) return `${Number((ms / SECOND).toFixed(3))} s`;
  if (ms < HOUR) {
    const seconds = Math.round((ms % MINUTE) / SECOND);
    return `${Math.floor(ms / MINUTE)} m${seconds > 0 ? ` ${seconds} s` : ""}`;
  }
  const minutes = Math.round((ms % HOUR) / MINUTE);
  return `${Math.floor(ms / HOUR)} h${minutes > 0 ? ` ${minutes} m` : ""}`;
}

/** Where a growing axis ends: beyond `ms`, and only now and then elsewhere, so that bars grow rather than shrink. */
export function axisEnd(ms: number): number {
  const value = Math.max(ms, 1);
  const step = roundStep(value, 5);
  return Math.floor(value / step + 1) * step;
}
