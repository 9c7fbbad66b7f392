// The buttons in a saved tree, drawn by the renderer as JupyterLab uses it.

import type { IRenderMime } from "@jupyterlab/rendermime-interfaces";
import { MessageLoop } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SavedRunRenderer } from "../src/mime";
import { type Phase, RUN_MIME } from "../src/protocol";
import { findBy } from "../src/session";
import { FakeSession } from "./kernels";
import { header, row } from "./scenes";

/** As soon as it is observed, everything is in view. */
class InView {
  readonly #seen: (entries: object[]) => void;
  constructor(seen: (entries: object[]) => void) {
    this.#seen = seen;
  }
  observe() {
    this.#seen([{ isIntersecting: true }]);
  }
  disconnect() {}
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("IntersectionObserver", InView);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  findBy(() => null);
  document.body.replaceChildren();
});

const settle = () => vi.advanceTimersByTimeAsync(400);

function saved(name: string, phase: Phase, resumed?: unknown) {
  const run = header({ name, phase, ended: true, live: false, total: 1 });
  return { version: 1, run, rows: [row(0, { n: "main", s: phase })], ...(resumed ? { resumed } : {}) };
}

async function show(value: object, { session = new FakeSession(), found = true } = {}) {
  if (found) findBy(() => session);
  const renderer = new SavedRunRenderer();
  const model = {
    data: { [RUN_MIME]: value, "text/html": "<b>one</b>", "text/plain": "one" } as Record<string, unknown>,
    metadata: {},
    trusted: false,
    setData({ data }: { data?: Record<string, unknown> }) {
      model.data = data ?? model.data;
      void renderer.renderModel(model as unknown as IRenderMime.IMimeModel);
    },
  };
  await renderer.renderModel(model as unknown as IRenderMime.IMimeModel);
  document.body.append(renderer.node);
  MessageLoop.sendMessage(renderer, Widget.Msg.AfterAttach);
  await settle();
  const buttons = () => [...renderer.node.querySelectorAll("button")].map(button => button.textContent);
  const press = async (label: string) => {
    [...renderer.node.querySelectorAll("button")].find(button => button.textContent === label)?.click();
    await settle();
  };
  const trees = () => [...renderer.node.querySelectorAll(".fn-run")].map(run => run.textContent);
  return { renderer, session, model, buttons, press, trees, text: () => renderer.node.textContent ?? "" };
}

test("a failed run offers what the kernel has counted", async () => {
  const { session, buttons } = await show(saved("main-abc123", "FAILED"));
  expect(buttons()).toEqual([]);
  session.plan({ changed: 1731 });
  await settle();
  expect(buttons()).toEqual(["Run what changed: 1,731", "Keep every success: 1"]);
  session.execute();
  await settle();
  session.plan({ changed: 1 });
  await settle();
  expect(buttons()).toEqual(["Run what changed: 1", "Keep every success: 1"]);
  session.plan({ changed: 0, keep: 0 });
  await settle();
  expect(buttons()).toEqual(["Run what changed: 0", "Keep every success: 0"]);
});

test.each(["ABORTED", "TIMED_OUT"] as const)("so does one that ended %s", async phase => {
  const { session } = await show(saved("main-abc123", phase));
  expect(session.sent).toEqual([{ type: "plan", run: "main-abc123" }]);
});

test("a run that has succeeded, and a page without a kernel, offer nothing", async () => {
  const succeeded = await show(saved("main-abc123", "SUCCEEDED"));
  expect(succeeded.session.sent).toEqual([]);
  findBy(() => null);
  const alone = await show(saved("main-abc123", "FAILED"), { found: false });
  expect(alone.buttons()).toEqual([]);
});

test("a run that this kernel's store does not know is offered nothing for", async () => {
  const { session, buttons, text } = await show(saved("main-abc123", "FAILED"));
  session.plan({ changed: 0, keep: 0, error: "no run is called main-abc123" });
  await settle();
  expect(buttons()).toEqual([]);
  expect(text()).not.toContain("no run is called");
});

test("why it cannot be resumed is said to everybody", async () => {
  const { session, renderer, press } = await show(saved("main-abc123", "FAILED"));
  session.plan({ error: "main-abc123 needs my-env.main" });
  await settle();
  const button = renderer.node.querySelector("button")!;
  expect(button.getAttribute("aria-disabled")).toBe("true");
  const reason = document.getElementById(button.getAttribute("aria-describedby")!);
  expect(reason?.textContent).toBe("main-abc123 needs my-env.main");
  await press("Keep every success: 1");
  expect(session.sent).toHaveLength(1);
});

test("a click is followed by a live tree of its own, and in the end by the saved one", async () => {
  const { session, model, buttons, press, trees } = await show(saved("main-abc123", "FAILED"));
  session.plan();
  await settle();
  await press("Keep every success: 1");
  expect(session.last()).toEqual({ type: "resume", run: "main-abc123", keep: true });
  expect(buttons()).toEqual([]);
  const live = header({ name: "main-new111", total: 1, resumed_from: "main-abc123", recovered: 730 });
  session.say({ type: "snapshot", seq: 1, run: live, rows: [row(0, { s: "RUNNING" })] });
  await settle();
  expect(trees()).toEqual(["main-abc123", "main-new111"]);
  expect(buttons()).toEqual(["Cancel"]);
  const bundle = {
    [RUN_MIME]: saved("main-new111", "SUCCEEDED"),
    "text/html": "<b>two</b>",
    "text/plain": "two",
  };
  session.say({ type: "saved", run: "main-abc123", bundle });
  await settle();
  expect(trees()).toEqual(["main-abc123", "main-new111"]);
  expect(buttons()).toEqual([]);
  expect(model.data["text/plain"]).toBe("one\n\ntwo");
  expect([session.closed, session.watched]).toEqual([1, false]);
});

test("of runs that resumed one another only the last offers to go on", async () => {
  const chain = saved("main-abc123", "FAILED", saved("main-new111", "FAILED"));
  const { session, buttons, trees } = await show(chain);
  expect(trees()).toEqual(["main-abc123", "main-new111"]);
  expect(session.sent).toEqual([{ type: "plan", run: "main-new111" }]);
  session.plan({ changed: 2 });
  await settle();
  expect(buttons()).toEqual(["Run what changed: 2", "Keep every success: 1"]);
});

test("what is open in the failed tree stays open while another comes below", async () => {
  const { renderer, session } = await show(saved("main-abc123", "FAILED"));
  renderer.node.querySelector<HTMLElement>('[data-key="0"]')?.click();
  await settle();
  expect(renderer.node.querySelectorAll(".fn-details")).toHaveLength(1);
  session.say({
    type: "saved",
    run: "main-abc123",
    bundle: { [RUN_MIME]: saved("main-new111", "SUCCEEDED") },
  });
  await settle();
  expect(renderer.node.querySelectorAll(".fn-run")).toHaveLength(2);
  expect(renderer.node.querySelectorAll(".fn-details")).toHaveLength(1);
});

test("a renderer that is disposed of ends the conversation", async () => {
  const { renderer, session } = await show(saved("main-abc123", "FAILED"));
  renderer.dispose();
  expect([session.closed, session.watched]).toEqual([1, false]);
});
