import { expect, test } from "vitest";
import { Outline, PEEK } from "../src/outline";
import type { Row } from "../src/protocol";
import { RunStore } from "../src/store";
import { header, mapOf, row } from "./scenes";

function outlineOf(rows: Row[]): Outline {
  const store = new RunStore(header(), () => 0);
  store.merge(rows);
  return new Outline(store);
}

const keys = (outline: Outline) => outline.lines().map(line => line.key);

test("a map is folded into one line", () => {
  expect(keys(outlineOf(mapOf(1_000)))).toEqual([0, 1]);
});

test("failures in a folded map unfold by themselves, with an offer to show the rest", () => {
  const outline = outlineOf(mapOf(1_000, { failed: [700, 31] }));
  expect(keys(outline)).toEqual([0, 1, 33, 702, -2]);
  const rest = outline.lines().at(-1);
  expect([rest?.kind, rest?.level, rest?.position, rest?.size]).toEqual(["rest", 3, 3, 3]);
});

test("only the first failures unfold, and later ones do not push them out", () => {
  const rows = mapOf(100, { failed: [50, 51, 52, 53, 54, 55] });
  const outline = outlineOf(rows);
  expect(keys(outline)).toHaveLength(2 + PEEK + 1);
  outline.store.merge([{ ...rows[2]!, s: "FAILED", x: "ValueError" }]);
  expect(keys(outline)).not.toContain(2);
});

test("opening the rest shows every item and selects the first", () => {
  const outline = outlineOf(mapOf(60, { failed: [9] }));
  outline.select(-2);
  outline.open(outline.store.nodes.get(1)!);
  expect(keys(outline)).toHaveLength(62);
  expect(outline.selected).toBe(2);
});

test("closing a map hides its failures and moves the selection to it", () => {
  const outline = outlineOf(mapOf(60, { failed: [9] }));
  outline.select(11);
  outline.close(outline.store.nodes.get(1)!);
  expect(keys(outline)).toEqual([0, 1]);
  expect(outline.selected).toBe(1);
});

test("a task folds when its children become many, unless the selection is inside", () => {
  const children = (count: number) => Array.from({ length: count }, (_, i) => row(i + 1, { p: 0 }));
  const outline = outlineOf([row(0), ...children(50)]);
  expect(keys(outline)).toHaveLength(51);
  outline.store.merge(children(51));
  expect(keys(outline)).toEqual([0]);

  const watched = outlineOf([row(0), ...children(50)]);
  watched.select(17);
  watched.store.merge(children(51));
  expect(keys(watched)).toHaveLength(52);
  expect(watched.selected).toBe(17);
});

test("rows that arrive keep the selection and the lines' keys", () => {
  const outline = outlineOf([row(0), row(1, { p: 0 }), row(2)]);
  outline.select(2);
  outline.store.merge([row(3, { p: 0 })]);
  expect(keys(outline)).toEqual([0, 1, 3, 2]);
  expect(outline.placeOf(outline.selected)).toBe(3);
});

test("an update that changes no structure keeps the very same lines", () => {
  const outline = outlineOf([row(0, { s: "RUNNING" })]);
  const before = outline.lines();
  outline.store.merge([row(0, { s: "SUCCEEDED" })]);
  expect(outline.lines()).toBe(before);
});

test("an open map says how many items the notebook left out", () => {
  const g = { QUEUED: 0, RUNNING: 0, SUCCEEDED: 500, FAILED: 0, ABORTED: 0, TIMED_OUT: 0 };
  const outline = outlineOf([row(0, { k: "group", g }), row(1, { p: 0 })]);
  outline.open(outline.store.nodes.get(0)!);
  expect(outline.lines().map(line => line.kind)).toEqual(["row", "row", "left"]);
});

test("a run of 100,000 nested calls is flattened without recursion", () => {
  const rows = Array.from({ length: 100_000 }, (_, i) => row(i, i > 0 ? { p: i - 1 } : {}));
  expect(outlineOf(rows).lines().at(-1)?.level).toBe(100_000);
});
