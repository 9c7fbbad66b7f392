import { expect, test } from "vitest";
import { RunStore } from "../src/store";
import { header, mapOf, row } from "./scenes";

function storeOf(rows: ReturnType<typeof mapOf>, head = header()): RunStore {
  const store = new RunStore(head, () => 0);
  store.merge(rows);
  return store;
}

test("actions are counted by phase and groups are not", () => {
  const store = storeOf(mapOf(10, { failed: [3], running: 2 }));
  expect(store.counts).toMatchObject({ SUCCEEDED: 7, FAILED: 1, RUNNING: 3, QUEUED: 0 });
});

test("a row that is sent again moves between the counts and is not counted twice", () => {
  const store = storeOf([row(0, { s: "QUEUED" })]);
  store.merge([row(0, { s: "RUNNING", b: 1 })]);
  store.merge([row(0, { s: "RUNNING", b: 1 })]);
  expect(store.counts).toMatchObject({ QUEUED: 0, RUNNING: 1, SUCCEEDED: 0 });
});

test("a group runs while any item does, then fails when one failed", () => {
  const rows = mapOf(3, { failed: [1], running: 1 });
  const store = storeOf(rows);
  const group = store.nodes.get(1);
  expect(group?.phase).toBe("RUNNING");
  expect([group?.settled, group?.total]).toEqual([2, 3]);
  store.merge([{ ...rows[4]!, s: "SUCCEEDED", e: 99 }]);
  expect(group?.phase).toBe("FAILED");
});

test("a group of groups takes its phase and extent from the innermost items", () => {
  const store = storeOf([
    row(0, { k: "group" }),
    row(1, { k: "group", p: 0 }),
    row(2, { p: 1, s: "RUNNING", b: 5 }),
  ]);
  const outer = store.nodes.get(0)!;
  expect(outer.phase).toBe("RUNNING");
  expect(outer.extent).toEqual({ begin: 5, end: undefined });
  store.merge([row(2, { p: 1, b: 5, e: 25 })]);
  expect(outer.phase).toBe("SUCCEEDED");
  expect(outer.extent).toEqual({ begin: 5, end: 25 });
});

test("a task keeps its own phase, whatever its children do", () => {
  const store = storeOf([row(0, { b: 0, e: 9 }), row(1, { p: 0, s: "FAILED", b: 1, e: 90 })]);
  expect(store.nodes.get(0)?.phase).toBe("SUCCEEDED");
  expect(store.nodes.get(0)?.extent).toEqual({ begin: 0, end: 9 });
});

test("an item that ran again after failing leaves its group succeeded", () => {
  const store = storeOf([row(0, { k: "group" }), row(1, { p: 0, s: "FAILED" })]);
  store.merge([row(1, { p: 0, s: "RUNNING" }), row(1, { p: 0, s: "SUCCEEDED" })]);
  expect(store.nodes.get(0)?.phase).toBe("SUCCEEDED");
});

test("the counts that a truncated notebook saved stand in for the rows it left out", () => {
  const saved = { QUEUED: 0, RUNNING: 0, SUCCEEDED: 9_998, FAILED: 2, ABORTED: 0, TIMED_OUT: 0 };
  const store = storeOf([row(0, { k: "group", g: saved }), row(1, { p: 0, s: "FAILED" })]);
  const group = store.nodes.get(0)!;
  expect([group.settled, group.total, group.phase]).toEqual([10_000, 10_000, "FAILED"]);
});

test("a row whose parent is unknown is shown at the top", () => {
  const store = storeOf([row(5, { p: 2 })]);
  expect(store.roots.map(node => node.index)).toEqual([5]);
});

test("the clock ticks from the best message while live and stands still once ended", () => {
  let now = 1_000;
  const store = new RunStore(header({ elapsed: 200 }), () => now);
  now = 1_500;
  expect(store.now()).toBe(700);
  // A message that was 300 ms on its way must not turn the clock back.
  store.setHeader(header({ elapsed: 400 }));
  expect(store.now()).toBe(700);
  store.setHeader(header({ elapsed: 720, ended: true, phase: "SUCCEEDED" }));
  now = 9_000;
  expect(store.now()).toBe(720);
});

test("a saved run without a duration ends where its last action ends", () => {
  const store = storeOf([row(0, { b: 0, e: 340 })], header({ live: false, ended: true }));
  expect(store.now()).toBe(340);
});

test("replacing the rows leaves nothing of the old ones", () => {
  const store = storeOf(mapOf(100));
  store.replace([row(0, { s: "FAILED" })]);
  expect(store.nodes.size).toBe(1);
  expect(store.counts).toMatchObject({ SUCCEEDED: 0, FAILED: 1 });
});
