import { expect, test } from "vitest";
import { readDetail, readHeader, readRow, readRows, readSavedRun } from "../src/parse";
import { RunStore } from "../src/store";
import { detail, header, row } from "./scenes";

test("a row keeps what fits and drops what does not", () => {
  const read = readRow({
    i: 3,
    p: 1,
    k: "dance",
    n: "fit",
    s: "SLEEPING",
    b: "soon",
    e: 4,
    a: 2,
    v: 7,
    c: 1,
    r: true,
  });
  expect(read).toEqual({ i: 3, p: 1, k: "task", n: "fit", s: "QUEUED", e: 4, a: 2, r: true });
});

test("a row without an index is no row", () => {
  expect(readRows([{}, null, 3, "x", { i: -1 }, { i: 1.5 }, { i: "0" }])).toEqual([]);
});

test("a parent that is not older than its child cannot make a cycle", () => {
  expect(readRow({ i: 3, p: 3, n: "a" })).not.toHaveProperty("p");
  expect(readRow({ i: 3, p: 4, n: "a" })).not.toHaveProperty("p");
});

test("a saved run survives the way through a file", () => {
  const file = JSON.parse(
    JSON.stringify({
      version: 1,
      run: header({ phase: "SUCCEEDED", ended: true, live: false }),
      rows: [row(0), row(1, { p: 0 })],
      details: { "1": detail() },
      truncated: 12,
    }),
  );
  const saved = readSavedRun(file);
  expect(saved?.rows).toEqual([row(0), row(1, { p: 0 })]);
  expect(saved?.details.get(1)).toEqual(detail());
  expect(saved?.truncated).toBe(12);
});

test("a saved run never ticks, whatever the file claims", () => {
  const saved = readSavedRun({ version: 1, run: header({ live: true, ended: false }), rows: [] });
  expect(saved && RunStore.saved(saved).ticking).toBe(false);
});

test("a run saved by a newer version is not guessed at", () => {
  expect(readSavedRun({ version: 2, run: header(), rows: [] })).toBeNull();
  expect(readSavedRun("nonsense")).toBeNull();
});

test("details and headers of any shape are read without an exception", () => {
  for (const nonsense of [
    null,
    undefined,
    0,
    "x",
    [],
    {},
    { inputs: 3, log: [null], attempts: "a", error: [] },
  ]) {
    expect(readDetail(nonsense).error).toBeNull();
    expect(readHeader(nonsense).name).toBe("run");
  }
});
