import { expect, test } from "vitest";
import { pressKey, Typed } from "../src/keys";
import { Outline } from "../src/outline";
import { RunStore } from "../src/store";
import { header, mapOf, row } from "./scenes";

function treeOf(rows = mapOf(30)) {
  const store = new RunStore(header(), () => 0);
  store.merge(rows);
  const outline = new Outline(store);
  const typed = new Typed();
  const press = (key: string, at = 0) => pressKey(outline, typed, key, 15, at);
  const pressAll = (...keys: string[]) => keys.map(key => press(key)).at(-1);
  return { outline, press, pressAll };
}

test("down enters at the first line, up at the last, and both stop at the ends", () => {
  const { outline, press, pressAll } = treeOf();
  press("ArrowDown");
  expect(outline.selected).toBe(0);
  pressAll("ArrowUp", "ArrowUp");
  expect(outline.selected).toBe(0);
  outline.selected = null;
  press("ArrowUp");
  expect(outline.selected).toBe(1);
  press("ArrowDown");
  expect(outline.selected).toBe(1);
});

test("right opens, then goes inside; left goes out, then closes", () => {
  const { outline, pressAll } = treeOf();
  outline.select(1);
  pressAll("ArrowRight", "ArrowRight");
  expect(outline.selected).toBe(2);
  pressAll("ArrowLeft");
  expect(outline.selected).toBe(1);
  pressAll("ArrowLeft");
  expect(outline.lines()).toHaveLength(2);
  pressAll("ArrowLeft");
  expect(outline.selected).toBe(0);
});

test("right on a map that shows its failures opens it wholly; left closes it", () => {
  const { outline, press } = treeOf(mapOf(30, { failed: [4] }));
  outline.select(1);
  press("ArrowLeft");
  expect(outline.lines()).toHaveLength(2);
  press("ArrowRight");
  expect(outline.lines()).toHaveLength(32);
});

test("home, end and pages move among all lines", () => {
  const { outline, press } = treeOf();
  outline.open(outline.store.nodes.get(1)!);
  press("End");
  expect(outline.selected).toBe(31);
  press("PageUp");
  expect(outline.selected).toBe(16);
  press("Home");
  expect(outline.selected).toBe(0);
  press("PageDown");
  expect(outline.selected).toBe(15);
});

test("letters find the next name, and quick ones narrow it down", () => {
  const names = ["load", "clean", "classify", "Compare"];
  const { outline, press } = treeOf(names.map((n, i) => row(i, { n })));
  press("c", 0);
  expect(outline.selected).toBe(1);
  press("c", 2_000);
  expect(outline.selected).toBe(2);
  press("c", 4_000);
  press("l", 4_100);
  expect(outline.selected).toBe(1);
  press("L", 9_000);
  expect(outline.selected).toBe(0);
});

test("enter activates what is selected, and selects first where nothing is", () => {
  const { outline, press } = treeOf();
  expect(press("Enter")).toBe("done");
  expect(outline.selected).toBe(0);
  expect(press("Enter")).toBe("activate");
  expect(press(" ")).toBe("activate");
});

test("an asterisk opens every sibling", () => {
  const { outline, press } = treeOf([
    row(0, { k: "group" }),
    row(1, { p: 0 }),
    row(2, { k: "group" }),
    row(3, { p: 2 }),
  ]);
  outline.select(0);
  press("*");
  expect(outline.lines()).toHaveLength(4);
});

test("keys that mean nothing to a tree are left alone", () => {
  const { press } = treeOf();
  expect(press("Delete")).toBe("ignored");
  expect(treeOf([]).press("ArrowDown")).toBe("ignored");
});
