import { expect, test, vi } from "vitest";
import { nameOf, offer, type Stance, standAs, take } from "../src/handover";
import extension from "../src/mime";
import { Outline } from "../src/outline";
import { RUN_MIME } from "../src/protocol";
import { RunStore } from "../src/store";
import widget from "../src/widget";
import { detail, header, row } from "./scenes";

const LIVE = [
  row(0, { n: "main", id: "aa" }),
  row(1, { p: 0, n: "load", id: "bb" }),
  row(2, { p: 0, k: "group", n: "process" }),
  row(3, { p: 2, n: "process", id: "cc" }),
];
const SAVED = [
  row(0, { n: "main", id: "aa" }),
  row(1, { p: 0, k: "group", n: "process" }),
  row(2, { p: 1, n: "process", id: "cc" }),
  row(3, { p: 0, n: "load", id: "bb" }),
];

test("rows have the same names whatever their numbers", () => {
  const store = new RunStore(header());
  store.merge(LIVE);
  const other = new RunStore(header());
  other.merge(SAVED);
  const names = (of: RunStore) => [...of.nodes.values()].map(nameOf).sort();
  expect(names(store)).toEqual(["aa", "aa/process", "bb", "cc"]);
  expect(names(other)).toEqual(names(store));
});

test("a stance is taken once, and outlives the view that offered it", () => {
  const stance: Stance = { selected: "bb", folds: new Map(), pane: true, panel: "Log", focused: false };
  const leave = offer("run-1", () => ({ ...stance }));
  leave();
  expect(take("run-1")).toEqual(stance);
  expect(take("run-1")).toBeNull();
});

test("a stance opens, closes and selects by name", () => {
  const store = new RunStore(header());
  store.merge(SAVED);
  const outline = new Outline(store);
  const folds = new Map<string, "open" | "closed">([["aa/process", "open"]]);
  standAs(outline, { selected: "cc", folds, pane: false, panel: null, focused: false });
  expect(outline.lines().map(line => line.key)).toEqual([0, 1, 2, 3]);
  expect(outline.selected).toBe(2);
});

test("the saved view begins as the reader left the live one", async () => {
  vi.useFakeTimers();
  const frame = () => vi.advanceTimersByTimeAsync(50);
  const { initialize, render } = widget();
  const listeners = new Map<string, (value: unknown) => void>();
  const model = { get: () => header(), send: () => {}, on: listeners.set.bind(listeners), off: () => {} };
  initialize({ model });
  const live = document.body.appendChild(document.createElement("div"));
  const dispose = render({ el: live });
  listeners.get("msg:custom")?.({ type: "snapshot", seq: 1, run: header(), rows: LIVE });
  await frame();
  live.querySelector<HTMLElement>('[data-key="2"]')?.click();
  live.querySelector<HTMLElement>('[data-key="1"]')?.click();
  await frame();
  live.querySelector<HTMLElement>("[role=tree]")?.focus();

  const saved = extension.rendererFactory.createRenderer({} as never);
  const run = header({ live: false, ended: true, phase: "SUCCEEDED" });
  const data = { version: 1, run, rows: SAVED, details: { "3": detail() }, truncated: 0 };
  await saved.renderModel({ data: { [RUN_MIME]: data } } as never);
  document.body.append(saved.node);
  dispose();
  await frame();
  expect(saved.node.querySelector('[data-key="2"]')).not.toBeNull();
  expect(saved.node.querySelector('[data-key="3"]')?.getAttribute("aria-selected")).toBe("true");
  expect(saved.node.querySelector(".fn-details")?.getAttribute("aria-label")).toBe("Details of load");
  expect(document.activeElement).toBe(saved.node.querySelector("[role=tree]"));
  vi.useRealTimers();
});
