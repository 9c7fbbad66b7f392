import { expect, test } from "vitest";
import { Link } from "../src/link";
import type { ToKernel } from "../src/protocol";
import { detail, header, row } from "./scenes";

function linkOf() {
  const sent: ToKernel[] = [];
  const link = new Link(header(), message => sent.push(message));
  let notified = 0;
  link.store.subscribe(() => notified++);
  return { link, store: link.store, sent, notified: () => notified };
}

const snapshot = (seq: number, ...rows: object[]) => ({ type: "snapshot", seq, run: header(), rows });
const patch = (seq: number, ...rows: object[]) => ({ type: "patch", seq, run: header(), rows });

test("it says hello and shows what the kernel answers", () => {
  const { link, store, sent, notified } = linkOf();
  link.hello();
  link.receive(snapshot(4, row(0), row(1, { p: 0 })));
  expect(sent).toEqual([{ type: "hello", page: expect.any(String) }]);
  expect(store.nodes.size).toBe(2);
  expect(notified()).toBe(1);
});

test("patches in sequence are applied in silence, and one that was seen is ignored", () => {
  const { link, store, sent } = linkOf();
  link.receive(snapshot(4, row(0, { s: "QUEUED" })));
  link.receive(patch(5, row(0, { s: "RUNNING" })));
  link.receive(patch(6, row(0, { s: "FAILED" })));
  link.receive(patch(5, row(0, { s: "RUNNING" })));
  expect(store.nodes.get(0)?.phase).toBe("FAILED");
  expect(sent).toEqual([]);
});

test("a gap in the sequence is applied and asks for everything again, once", () => {
  const { link, store, sent } = linkOf();
  link.receive(snapshot(4, row(0)));
  link.receive(patch(6, row(2)));
  link.receive(patch(7, row(3)));
  expect(sent.map(({ type }) => type)).toEqual(["hello"]);
  link.receive(snapshot(7, row(0), row(1), row(2), row(3)));
  expect([...store.nodes.keys()]).toEqual([0, 1, 2, 3]);
});

test("rows out of order find their parents", () => {
  const { link, store } = linkOf();
  link.receive(snapshot(1, row(2, { p: 1 }), row(1, { p: 0 }), row(0)));
  expect(store.roots).toHaveLength(1);
  expect(store.nodes.get(2)?.parent?.index).toBe(1);
});

test("details are asked for once until they are answered", () => {
  const { link, store, sent } = linkOf();
  link.requestDetail(3);
  link.requestDetail(3);
  expect(sent).toEqual([{ type: "detail", i: 3 }]);
  link.receive({ type: "detail", i: 3, detail: detail() });
  expect(store.details.get(3)?.output?.text).toBe("4");
  link.requestDetail(3);
  expect(sent).toHaveLength(2);
});

test("a page says hello under one name, and another page under another", () => {
  const names = [linkOf(), linkOf()].map(({ link, sent }) => {
    link.hello();
    link.hello();
    return new Set(sent.map(message => "page" in message && message.page));
  });
  expect(names.map(name => name.size)).toEqual([1, 1]);
  expect(names[0]).not.toEqual(names[1]);
});

test("cancel is for the run, or for one action", () => {
  const { link, store, sent } = linkOf();
  link.cancel();
  link.cancel(3);
  expect(sent).toEqual([{ type: "cancel" }, { type: "cancel", i: 3 }]);
  expect(store.cancelling).toBe(true);
  expect(store.cancellingActions.has(3)).toBe(true);
});

test("a kernel that is gone stops the clock", () => {
  const { link, store } = linkOf();
  expect(store.ticking).toBe(true);
  link.receive({ type: "closed" });
  expect(store.ticking).toBe(false);
});

test("the header trait is shown before and between messages", () => {
  const { link, store } = linkOf();
  link.receiveHeader(header({ total: 17 }));
  expect(store.header.total).toBe(17);
});

test("messages that nobody knows are ignored", () => {
  const { link, notified } = linkOf();
  for (const content of [null, 3, "hello", {}, { type: "dance" }, { type: "detail", i: -1 }, []])
    link.receive(content);
  expect(notified()).toBe(0);
});
