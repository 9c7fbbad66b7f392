import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Header, Row, ToKernel } from "../src/protocol";
import widget from "../src/widget";
import { detail, header, mapOf, row } from "./scenes";

/** A model as anywidget hands it to a widget, with a kernel that a test plays. */
class KernelModel {
  readonly sent: ToKernel[] = [];
  readonly #listeners = new Map<string, (value: unknown) => void>();

  constructor(readonly head: Header) {}

  get(name: string): unknown {
    return name === "header" ? this.head : undefined;
  }

  send(content: unknown): void {
    this.sent.push(content as ToKernel);
  }

  on(event: string, listener: (value: unknown) => void): void {
    this.#listeners.set(event, listener);
  }

  off(event: string): void {
    this.#listeners.delete(event);
  }

  emit(event: string, value: unknown): void {
    this.#listeners.get(event)?.(value);
  }
}

const frame = () => vi.advanceTimersByTimeAsync(50);

async function show(rows: Row[], head = header({ total: rows.length })) {
  const model = new KernelModel(head);
  const { initialize, render } = widget();
  const stop = initialize({ model });
  const el = document.body.appendChild(document.createElement("div"));
  const dispose = render({ el });
  model.emit("msg:custom", { type: "snapshot", seq: 1, run: head, rows });
  await frame();
  return { model, el, render, dispose, stop, ...queries(el) };
}

function queries(el: HTMLElement) {
  const all = (selector: string) => [...el.querySelectorAll<HTMLElement>(selector)];
  const items = () => all("[role=treeitem]");
  const item = (key: number) => el.querySelector<HTMLElement>(`[data-key="${key}"]`);
  const button = (name: string) => all("button").find(found => found.textContent === name);
  const press = async (key: string, init: KeyboardEventInit = {}) => {
    const event = new KeyboardEvent("keydown", {
      key,
      bubbles: true,
      cancelable: true,
      composed: true,
      ...init,
    });
    document.activeElement?.dispatchEvent(event);
    await frame();
    return event;
  };
  const click = async (target: HTMLElement | null | undefined) => {
    target?.click();
    await frame();
  };
  return { all, items, item, button, press, click };
}

beforeEach(() => void vi.useFakeTimers());

afterEach(() => {
  vi.useRealTimers();
  document.body.replaceChildren();
});

test("the tree has the roles, levels and states that a screen reader needs", async () => {
  const { all, item } = await show(mapOf(20, { failed: [3] }));
  expect(all("[role=tree]")[0]?.getAttribute("aria-label")).toBe("Actions of main-x7k2ab");
  const group = item(1);
  expect(group?.getAttribute("aria-level")).toBe("2");
  expect(group?.getAttribute("aria-expanded")).toBe("true");
  expect(group?.getAttribute("aria-label")).toMatch(/^process, failed, 20 of 20/);
  const failure = item(5);
  expect(failure?.getAttribute("aria-level")).toBe("3");
  expect(failure?.hasAttribute("aria-expanded")).toBe(false);
  expect(failure?.textContent).toContain("line 7ValueError: bad row 3");
});

test("a folded map shows how many items have ended", async () => {
  const { item } = await show(mapOf(1_000, { running: 660 }));
  expect(item(1)?.textContent).toContain("340/1,000");
  expect(item(1)?.textContent).toContain("660 running");
  expect(item(1)?.getAttribute("aria-expanded")).toBe("false");
});

test("text of users is shown as text, wherever it stands", async () => {
  const evil = "<img src=x onerror=alert(1)>";
  const rows = [row(0, { n: evil, v: evil, t: evil }), row(1, { s: "FAILED", x: evil }), row(2, { h: evil })];
  const { el, item, model, click } = await show(rows, header({ name: evil }));
  await click(item(0));
  const value = { name: evil, type: evil, text: evil };
  const failure = { code: evil, message: evil, traceback: evil };
  const attempts = [{ number: 1, phase: "FAILED" as const, error: evil }];
  const answer = detail({
    inputs: [value],
    output: value,
    log: [{ stream: evil, text: evil }],
    source: evil,
  });
  model.emit("msg:custom", {
    type: "detail",
    i: 0,
    detail: { ...answer, declarations: { [evil]: evil }, attempts },
  });
  await frame();
  for (const tab of ["Values", "Log", "Source", "About"]) {
    await click([...el.querySelectorAll<HTMLElement>("[role=tab]")].find(found => found.textContent === tab));
    expect(el.querySelector("[role=tabpanel]")?.textContent).toContain("onerror=alert(1)");
  }
  model.emit("msg:custom", { type: "detail", i: 0, detail: detail({ error: failure }) });
  await frame();
  expect(el.querySelectorAll("img, script")).toHaveLength(0);
});

test("only lines in sight exist, however many items are open", async () => {
  const { items, item, click, all } = await show(mapOf(2_500));
  await click(item(1));
  expect(items().length).toBeLessThan(60);
  expect(all(".fn-canvas")[0]?.style.height).toBe(`${2_502 * 24}px`);
  expect(item(2)?.getAttribute("aria-setsize")).toBe("2500");
});

test("a hundred messages in one frame paint once", async () => {
  const { model, el } = await show([row(0, { s: "QUEUED" })]);
  const painted = vi.fn();
  new MutationObserver(painted).observe(el, { subtree: true, childList: true, characterData: true });
  for (let seq = 2; seq < 102; seq++) {
    const change = row(0, { s: "RUNNING", h: `step ${seq}` });
    model.emit("msg:custom", { type: "patch", seq, run: header(), rows: [change] });
  }
  await vi.advanceTimersByTimeAsync(20);
  expect(painted).toHaveBeenCalledTimes(1);
  expect(el.textContent).toContain("step 101");
});

test("rows that arrive leave the selection where it was", async () => {
  const { model, item, click } = await show([row(0), row(1, { p: 0 }), row(5)]);
  await click(item(5));
  const rows = [row(2, { p: 0 }), row(3, { p: 0 })];
  model.emit("msg:custom", { type: "patch", seq: 2, run: header(), rows });
  await frame();
  expect(item(5)?.getAttribute("aria-selected")).toBe("true");
  expect(item(3)?.getAttribute("aria-selected")).toBe("false");
});

test("cancel tells the kernel once and says so", async () => {
  const { model, button, click } = await show([row(0, { s: "RUNNING" })]);
  await click(button("Cancel"));
  expect(model.sent.at(-1)).toEqual({ type: "cancel" });
  expect(button("Cancelling…")?.hasAttribute("disabled")).toBe(true);
  await click(button("Cancelling…"));
  expect(model.sent.filter(message => message.type === "cancel")).toHaveLength(1);
});

test("one action can be cancelled from its details", async () => {
  const { model, button, item, click } = await show([
    row(0, { s: "RUNNING" }),
    row(1, { p: 0, s: "RUNNING" }),
  ]);
  await click(item(1));
  await click(button("Cancel action"));
  expect(model.sent.at(-1)).toEqual({ type: "cancel", i: 1 });
  expect(item(1)?.textContent).toContain("Cancelling…");
});

test("a click shows inputs and output; escape closes and gives the focus back to the tree", async () => {
  const { el, model, item, click, all, press } = await show([row(0)]);
  await click(item(0));
  expect(model.sent.at(-1)).toEqual({ type: "detail", i: 0 });
  const html = '<table class="dataframe"><tr><th>a</th></tr><tr><td>&lt;7&gt;</td></tr></table>';
  const answer = detail({ output: { type: "DataFrame", text: "1 row", html } });
  model.emit("msg:custom", { type: "detail", i: 0, detail: answer });
  await frame();
  expect(all("[role=tabpanel]")[0]?.textContent).toMatch(/Inputs.*x.*int.*3.*Output/);
  expect(all(".fn-table td")[0]?.textContent).toBe("<7>");
  el.querySelector<HTMLElement>("[role=tab]")?.focus();
  await press("Escape");
  expect(all(".fn-details")).toHaveLength(0);
  expect(document.activeElement).toBe(el.querySelector("[role=tree]"));
});

test("the details of an action that runs are asked for again while they are open", async () => {
  const { model, item, click } = await show([row(0, { s: "RUNNING" })]);
  await click(item(0));
  const asked = () => model.sent.filter(message => message.type === "detail").length;
  model.emit("msg:custom", {
    type: "detail",
    i: 0,
    detail: detail({ log: [{ stream: "stdout", text: "one" }] }),
  });
  await vi.advanceTimersByTimeAsync(1_100);
  expect(asked()).toBe(2);
  model.emit("msg:custom", { type: "detail", i: 0, detail: detail() });
  model.emit("msg:custom", { type: "patch", seq: 2, run: header(), rows: [row(0)] });
  await frame();
  model.emit("msg:custom", { type: "detail", i: 0, detail: detail() });
  await vi.advanceTimersByTimeAsync(5_000);
  expect(asked()).toBe(3);
});

test("the details say where a result came from, or why it was made again", async () => {
  const { el, item, model, click } = await show([row(0)]);
  await click(item(0));
  const panel = () => el.querySelector("[role=tabpanel]")?.textContent;
  model.emit("msg:custom", { type: "detail", i: 0, detail: detail() });
  await frame();
  expect(panel()).toMatch(/^Inputs/);
  const reuse = "ran again: helper clean() changed (since run main-abc123)";
  model.emit("msg:custom", { type: "detail", i: 0, detail: detail({ reuse }) });
  await frame();
  expect(panel()).toContain(`${reuse}Inputs`);
});

test("a report is shown in a frame that may do nothing", async () => {
  const { el, model, item, click, all } = await show([row(0)]);
  await click(item(0));
  model.emit("msg:custom", { type: "detail", i: 0, detail: detail({ report: "<h1>Report</h1>" }) });
  await frame();
  await click(all("[role=tab]").find(tab => tab.textContent === "Report"));
  const report = el.querySelector("iframe");
  expect(report?.getAttribute("sandbox")).toBe("");
  expect(report?.getAttribute("srcdoc")).toMatch(
    /^<meta http-equiv="Content-Security-Policy"[^>]*default-src 'none'/,
  );
});

test("the keyboard moves through the tree and opens what it stands on", async () => {
  const { el, press, item, all } = await show(mapOf(5));
  el.querySelector<HTMLElement>("[role=tree]")?.focus();
  await press("ArrowDown");
  await press("ArrowDown");
  await press("ArrowRight");
  await press("ArrowDown");
  expect(item(2)?.getAttribute("aria-selected")).toBe("true");
  expect(all("[role=tree]")[0]?.getAttribute("aria-activedescendant")).toBe(item(2)?.id);
  await press("Enter");
  expect(all(".fn-details")[0]?.getAttribute("aria-label")).toBe("Details of process");
});

test("keys that the tree takes do not reach the page's shortcuts; shortcuts with modifiers do", async () => {
  const { el, item, click, press } = await show(mapOf(5));
  const page = vi.fn();
  document.addEventListener("keydown", page, true);
  el.querySelector<HTMLElement>("[role=tree]")?.focus();
  // Opening the details changes what keys do, while the focus stays.
  await click(item(0));
  expect((await press("x")).defaultPrevented).toBe(true);
  expect((await press("ArrowDown")).defaultPrevented).toBe(true);
  expect(page).not.toHaveBeenCalled();
  expect((await press("s", { ctrlKey: true })).defaultPrevented).toBe(false);
  await press("Enter", { shiftKey: true });
  await press("Tab");
  expect(page).toHaveBeenCalledTimes(3);
  document.removeEventListener("keydown", page, true);
});

test("declarations read as words, whatever their shape", async () => {
  const { model, item, click, all } = await show([row(0)]);
  await click(item(0));
  const declarations = {
    retries: 3,
    resources: { cpu: 2, memory: "1Gi", gpu: null },
    env_vars: {},
    depends_on: ["a", "b"],
    interruptible: false,
    deep: { a: { b: { c: { d: 1 } } } },
  };
  model.emit("msg:custom", { type: "detail", i: 0, detail: detail({ declarations }) });
  await frame();
  await click(all("[role=tab]").find(tab => tab.textContent === "About"));
  const facts = all(".fn-fact").map(fact => [...fact.children].map(part => part.textContent).join("="));
  expect(facts).toEqual([
    "Task=env.step",
    "Action=a1b2c3",
    "Retries=3",
    "Resources=cpu: 2, memory: 1Gi",
    "Depends on=a, b",
    "Interruptible=false",
    'Deep=a: b: c: {"d":1}',
  ]);
});

test("arrows move between the panels of the details", async () => {
  const { el, model, item, click, press } = await show([row(0)]);
  await click(item(0));
  model.emit("msg:custom", { type: "detail", i: 0, detail: detail() });
  await frame();
  el.querySelector<HTMLElement>("[role=tab]")?.focus();
  await press("ArrowRight");
  expect(document.activeElement?.textContent).toBe("Source");
  expect(document.activeElement?.getAttribute("aria-selected")).toBe("true");
  await press("ArrowLeft");
  await press("ArrowLeft");
  expect(document.activeElement?.textContent).toBe("About");
});

test("two views of one model show the same run and fold on their own", async () => {
  const { model, item, click, render } = await show(mapOf(5));
  const second = document.body.appendChild(document.createElement("div"));
  render({ el: second });
  await frame();
  await click(item(1));
  expect(item(2)).not.toBeNull();
  expect(second.querySelector('[data-key="2"]')).toBeNull();
  model.emit("msg:custom", { type: "patch", seq: 2, run: header(), rows: [row(9, { n: "late" })] });
  await frame();
  expect(item(9)?.textContent).toContain("late");
  expect(second.querySelector('[data-key="9"]')?.textContent).toContain("late");
});

test("the tree is there at once from the header, before the kernel has answered", async () => {
  const model = new KernelModel(header({ name: "pipeline-abc" }));
  const { initialize, render } = widget();
  initialize({ model });
  const el = document.body.appendChild(document.createElement("div"));
  render({ el });
  await frame();
  expect(model.sent.map(({ type }) => type)).toEqual(["hello"]);
  expect(el.textContent).toContain("pipeline-abc");
  expect(el.textContent).toContain("Waiting for the first action");
});

test("a kernel that goes away stops the clock and takes Cancel with it", async () => {
  const { model, el, button } = await show([row(0, { s: "RUNNING", b: 0 })]);
  model.emit("comm_live_update", undefined);
  await frame();
  expect(button("Cancel")).toBeUndefined();
  expect(el.textContent).toContain("Kernel gone");
  const before = el.textContent;
  await vi.advanceTimersByTimeAsync(3_000);
  expect(el.textContent).toBe(before);
});

test("nothing is sent to a kernel that is gone, and the details say where they are", async () => {
  const { model, el, item, click } = await show([row(0, { s: "RUNNING" }), row(1, { s: "RUNNING" })]);
  await click(item(0));
  model.emit("comm_live_update", undefined);
  const before = model.sent.length;
  await click(item(1));
  await vi.advanceTimersByTimeAsync(3_000);
  expect(model.sent).toHaveLength(before);
  expect(el.textContent).toContain("on record: %flyte show main-x7k2ab");
});

test("a kernel that has not been heard of for a while is said to be silent", async () => {
  const { model, el } = await show([row(0, { s: "RUNNING" })]);
  await vi.advanceTimersByTimeAsync(4_000);
  expect(el.textContent).not.toContain("no news");
  await vi.advanceTimersByTimeAsync(8_000);
  expect(el.textContent).toContain("no news for 12 s");
  model.emit("msg:custom", { type: "patch", seq: 2, run: header({ elapsed: 12_000 }), rows: [] });
  await frame();
  expect(el.textContent).not.toContain("no news");
});

test("a view that is removed leaves no timer behind", async () => {
  const { dispose, stop, el } = await show([row(0, { s: "RUNNING" })]);
  dispose();
  stop();
  await frame();
  expect(el.childElementCount).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
});

test("a run that resumes another says which, and how much it recovered", async () => {
  const { all } = await show([row(0)], header({ total: 1, resumed_from: "main-old123", recovered: 1730 }));
  expect(all(".fn-lineage")[0]?.textContent).toBe("resumes main-old123 · 1,730 recovered");
  const other = await show([row(0)]);
  expect(other.all(".fn-lineage")).toHaveLength(0);
});
