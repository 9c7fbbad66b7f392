import { expect, test } from "vitest";
import { axisEnd, duration, elapsed, number, plain, roundStep, tick } from "../src/format";

test.each([
  [0, "0 ms"],
  [0.05, "<0.1 ms"],
  [3.21, "3.2 ms"],
  [340, "340 ms"],
  [999.6, "1.00 s"],
  [1_240, "1.24 s"],
  [9_996, "10.0 s"],
  [59_960, "1 m 00 s"],
  [125_000, "2 m 05 s"],
  [3_599_600, "1 h 00 m"],
  [11_220_000, "3 h 07 m"],
  [-5, "0 ms"],
])("%d ms reads as %s", (ms, shown) => expect(duration(ms)).toBe(shown));

test("what ticks has tenths of a second only in the first minute", () => {
  expect([elapsed(340), elapsed(12_340), elapsed(61_000)]).toEqual(["0.3 s", "12.3 s", "1 m 01 s"]);
});

test("numbers are grouped by thousands", () => {
  expect([number(7), number(1_000), number(1_234_567)]).toEqual(["7", "1,000", "1,234,567"]);
});

test("terminal colours and titles are taken out of text", () => {
  expect(plain("\x1b[31mred\x1b[0m \x1b]0;title\x07plain\x1b[2K")).toBe("red plain");
});

test.each([1, 3, 7, 99, 1_234, 59_000, 61_000, 3_600_000, 86_400_000, 9e9])(
  "an axis of %d ms has few round ticks and ends just beyond it",
  span => {
    expect(span / roundStep(span, 4)).toBeLessThanOrEqual(4);
    const end = axisEnd(span);
    expect(end).toBeGreaterThan(span);
    expect(end).toBeLessThanOrEqual(span * 2.5 + 1);
  },
);

test("ticks are labelled no more precisely than they stand apart", () => {
  expect([tick(0, 200), tick(400, 200), tick(1_200, 200)]).toEqual(["0", "400 ms", "1.2 s"]);
  expect([tick(30_000, 15_000), tick(90_000, 30_000)]).toEqual(["30 s", "1 m 30 s"]);
  expect([tick(3_600_000, 1_800_000), tick(5_400_000, 1_800_000)]).toEqual(["1 h", "1 h 30 m"]);
});
