import { expect, test } from "vitest";
import { RUN_MIME } from "../src/protocol";
import { readSavedRuns, withResumed } from "../src/saved";
import { header, row } from "./scenes";

function bundle(name: string, resumed?: unknown) {
  const run = { version: 1, run: header({ name, live: false, ended: true }), rows: [row(0)] };
  return {
    [RUN_MIME]: resumed === undefined ? run : { ...run, resumed },
    "text/html": `<b>${name}</b>`,
    "text/plain": name,
  };
}

const names = (value: unknown) => readSavedRuns(value).map(({ run }) => run.name);

test("runs that resumed one another are read in their order", () => {
  const value = bundle("first", bundle("second", bundle("third")[RUN_MIME])[RUN_MIME])[RUN_MIME];
  expect(names(value)).toEqual(["first", "second", "third"]);
  expect(names(bundle("first", { version: 2 })[RUN_MIME])).toEqual(["first"]);
  expect(names({ version: 2 })).toEqual([]);
  expect(names("nonsense")).toEqual([]);
});

test("the run that resumed the last goes after it, in every form", () => {
  const one = bundle("first");
  const before = JSON.stringify(one);
  const two = withResumed(one, bundle("second"));
  const three = withResumed(two!, bundle("third"));
  expect(names(three![RUN_MIME])).toEqual(["first", "second", "third"]);
  expect(three!["text/html"]).toBe("<b>first</b>\n<b>second</b>\n<b>third</b>");
  expect(three!["text/plain"]).toBe("first\n\nsecond\n\nthird");
  expect(JSON.stringify(one)).toBe(before);
});

test("one that is there already, or is none, is not added", () => {
  const two = withResumed(bundle("first"), bundle("second"))!;
  expect(withResumed(two, bundle("second"))).toBeNull();
  expect(withResumed(two, {})).toBeNull();
  expect(withResumed({ "text/plain": "x" }, bundle("second"))).toBeNull();
});

test("a file that claims to have thousands is not believed", () => {
  let deep: unknown;
  for (let depth = 0; depth < 5000; depth++) deep = bundle(`run-${depth}`, deep)[RUN_MIME];
  expect(names(deep)).toHaveLength(100);
});

test("text that a file keeps as lines is joined", () => {
  const data = { ...bundle("first"), "text/plain": ["one\n", "two"] };
  expect(withResumed(data, bundle("second"))!["text/plain"]).toBe("one\ntwo\n\nsecond");
});
