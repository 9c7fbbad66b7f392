// What keys do in the tree, after the ARIA tree pattern.

import type { Line, Outline } from "./outline";

/** What a key asked for: `activate` the selected line, or something that has been done already. */
export type KeyResult = "activate" | "done" | "ignored";

const TYPEAHEAD_MS = 600;

/** The letters typed in quick succession, and when the last one was. */
export class Typed {
  #letters = "";
  #at = Number.NEGATIVE_INFINITY;

  /** Adds a letter typed at `at` (ms) and returns what is being looked for. */
  add(letter: string, at: number): string {
    this.#letters = at - this.#at > TYPEAHEAD_MS ? letter : this.#letters + letter;
    this.#at = at;
    return this.#letters.toLocaleLowerCase();
  }
}

/** Apply `key` to `outline`; `page` is how many lines a page has. */
export function pressKey(outline: Outline, typed: Typed, key: string, page: number, at: number): KeyResult {
  const lines = outline.lines();
  if (lines.length === 0) return "ignored";
  const place = outline.placeOf(outline.selected);
  const line = lines[place];
  switch (key) {
    case "ArrowDown":
      return goTo(outline, lines, place + 1);
    case "ArrowUp":
      return goTo(outline, lines, place < 0 ? lines.length - 1 : place - 1);
    case "PageDown":
      return goTo(outline, lines, place + page);
    case "PageUp":
      return goTo(outline, lines, place - page);
    case "Home":
      return goTo(outline, lines, 0);
    case "End":
      return goTo(outline, lines, lines.length - 1);
    case "ArrowRight":
      return inwards(outline, lines, place, line);
    case "ArrowLeft":
      return outwards(outline, line);
    case "Enter":
    case " ":
      return line === undefined ? goTo(outline, lines, 0) : "activate";
    case "*":
      return openSiblings(outline, line);
    default:
      return key.length === 1 ? find(outline, lines, place, typed.add(key, at)) : "ignored";
  }
}

function goTo(outline: Outline, lines: readonly Line[], place: number): KeyResult {
  const line = lines[Math.max(0, Math.min(lines.length - 1, place))];
  if (line !== undefined) outline.select(line.key);
  return "done";
}

function inwards(outline: Outline, lines: readonly Line[], place: number, line: Line | undefined): KeyResult {
  if (line === undefined || line.kind !== "row") return "done";
  const state = outline.state(line.node);
  if (state === "closed" || state === "peek") outline.open(line.node);
  else if (state === "open") goTo(outline, lines, place + 1);
  return "done";
}

function outwards(outline: Outline, line: Line | undefined): KeyResult {
  if (line === undefined) return "done";
  const state = line.kind === "row" ? outline.state(line.node) : "leaf";
  if (state === "open" || state === "peek") {
    outline.close(line.node);
    return "done";
  }
  const parent = line.kind === "row" ? line.node.parent : line.node;
  if (parent !== null) outline.select(parent.index);
  return "done";
}

function openSiblings(outline: Outline, line: Line | undefined): KeyResult {
  if (line === undefined) return "done";
  for (const sibling of line.node.parent?.children ?? outline.store.roots) {
    if (outline.state(sibling) !== "leaf") outline.open(sibling);
  }
  return "done";
}

function find(outline: Outline, lines: readonly Line[], place: number, letters: string): KeyResult {
  // One letter looks for the next match; further letters narrow the match that is selected.
  const from = letters.length === 1 ? place + 1 : Math.max(place, 0);
  for (let step = 0; step < lines.length; step++) {
    const line = lines[(from + step) % lines.length];
    if (line?.kind === "row" && line.node.row.n.toLocaleLowerCase().startsWith(letters)) {
      outline.select(line.key);
      break;
    }
  }
  return "done";
}
