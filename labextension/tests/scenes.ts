// Runs to test the view with: made row by row, as a kernel would send them.

import type { Detail, Header, Phase, Row } from "../src/protocol";

export function header(change: Partial<Header> = {}): Header {
  return {
    name: "main-x7k2ab",
    phase: "RUNNING",
    elapsed: 0,
    ended: false,
    error: null,
    live: true,
    total: 0,
    ...change,
  };
}

export function row(i: number, change: Partial<Row> = {}): Row {
  const kind = change.k ?? "task";
  return {
    i,
    k: kind,
    n: `step_${i}`,
    ...(kind === "group" ? {} : { s: "SUCCEEDED" as Phase, t: `env.step_${i}` }),
    ...change,
  };
}

export function detail(change: Partial<Detail> = {}): Detail {
  return {
    inputs: [{ name: "x", type: "int", text: "3" }],
    output: { type: "int", text: "4" },
    error: null,
    log: [],
    source: "@env.task\nasync def step(x: int) -> int:\n    return x + 1\n",
    declarations: { retries: 3 },
    attempts: [{ number: 1, phase: "SUCCEEDED", ms: 12 }],
    task: "env.step",
    id: "a1b2c3",
    reuse: null,
    report: null,
    ...change,
  };
}

/** A root with a map of `items` calls under it, of which those in `failed` failed and the last `running` still run. */
export function mapOf(items: number, { failed = [] as number[], running = 0 } = {}): Row[] {
  const rows = [
    row(0, { n: "main", s: running > 0 ? "RUNNING" : "SUCCEEDED", b: 0 }),
    row(1, { p: 0, k: "group", n: "process" }),
  ];
  for (let item = 0; item < items; item++) {
    const begin = item * 2;
    const child: Row = { ...row(item + 2, { p: 1, n: "process", t: "env.process" }), b: begin };
    if (item >= items - running) child.s = "RUNNING";
    else {
      child.e = begin + 40 + (item % 7) * 5;
      child.v = String(item * item);
    }
    if (failed.includes(item)) Object.assign(child, { s: "FAILED", x: `ValueError: bad row ${item}`, l: 7 });
    if (failed.includes(item)) delete child.v;
    rows.push(child);
  }
  return rows;
}
