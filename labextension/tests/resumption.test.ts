import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Resumption } from "../src/resumption";
import { FakeSession } from "./kernels";
import { header, row } from "./scenes";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function seen(session = new FakeSession()) {
  const kept: unknown[] = [];
  const resumption = new Resumption("main-abc123", session, bundle => kept.push(bundle));
  resumption.show(true);
  return { session, resumption, kept };
}

const snapshot = (name: string) => ({
  type: "snapshot",
  seq: 1,
  run: header({ name, total: 1 }),
  rows: [row(0, { s: "RUNNING" })],
});
const asked = { type: "plan", run: "main-abc123" };

test("it asks when it is seen, and not before", () => {
  const session = new FakeSession();
  const resumption = new Resumption("main-abc123", session, () => undefined);
  resumption.show(false);
  session.execute();
  vi.runAllTimers();
  expect(session.sent).toEqual([]);
  resumption.show(true);
  expect(session.sent).toEqual([asked]);
  resumption.show(false);
  resumption.show(true);
  expect(session.sent).toEqual([asked]);
});

test("it asks again once cells have been run, once for many in a row", () => {
  const { session, resumption } = seen();
  session.plan();
  for (let cell = 0; cell < 20; cell++) session.execute();
  vi.runAllTimers();
  expect(session.sent).toEqual([asked, asked]);
  session.plan({ changed: 3 });
  expect(resumption.plan).toEqual({ changed: 3, keep: 1, error: null });
  resumption.show(false);
  session.execute();
  vi.runAllTimers();
  expect(session.sent).toHaveLength(2);
  resumption.show(true);
  expect(session.sent).toHaveLength(3);
});

test("a kernel that refuses to speak is asked again after a cell that may have loaded the extension", () => {
  const { session, resumption } = seen();
  session.refuse();
  session.execute("x = 1");
  vi.runAllTimers();
  expect(session.comms).toBe(1);
  session.execute("%load_ext flyte_notebook");
  vi.runAllTimers();
  expect(session.comms).toBe(2);
  session.plan();
  expect(resumption.plan?.changed).toBe(731);
});

test("without a kernel nothing happens, and with the next one it asks", () => {
  const session = new FakeSession();
  session.alive = false;
  seen(session);
  expect(session.sent).toEqual([]);
  session.alive = true;
  session.restart();
  vi.runAllTimers();
  expect(session.sent).toEqual([asked]);
});

test("clicks start it once", () => {
  const { session, resumption } = seen();
  resumption.start(true);
  expect(session.sent).toEqual([asked]);
  session.plan();
  resumption.start(true);
  resumption.start(false);
  expect(session.sent.slice(1)).toEqual([{ type: "resume", run: "main-abc123", keep: true }]);
});

test("what cannot be resumed is not", () => {
  const { session, resumption } = seen();
  session.plan({ error: "main-abc123 needs my-env.main" });
  resumption.start(true);
  expect(session.sent).toEqual([asked]);
});

test("the run that resumes it is followed, cancelled, and kept", () => {
  const { session, resumption, kept } = seen();
  session.plan();
  resumption.start(true);
  session.say(snapshot("main-new111"));
  expect(resumption.link?.store.nodes.size).toBe(1);
  resumption.link?.cancel();
  expect(session.last()).toEqual({ type: "cancel" });
  session.say({ type: "header", run: header({ name: "main-new111", elapsed: 9 }) });
  expect(resumption.link?.store.header.elapsed).toBe(9);
  session.say({ type: "saved", run: "main-abc123", bundle: { "text/plain": "x" } });
  expect(kept).toEqual([{ "text/plain": "x" }]);
});

test("one that goes on already is joined", () => {
  const { session, resumption } = seen();
  session.plan({ going: true });
  expect(session.last()).toEqual({ type: "resume", run: "main-abc123", keep: true });
  expect([resumption.going, resumption.clicked]).toEqual([true, false]);
});

test("a refusal is told, and another click may come", () => {
  const { session, resumption } = seen();
  session.plan();
  resumption.start(false);
  session.say({ type: "refused", run: "main-abc123", error: "NameError: name 'x' is not defined" });
  session.say({ type: "closed" });
  expect([resumption.refused, resumption.going, resumption.link]).toEqual([
    "NameError: name 'x' is not defined",
    false,
    null,
  ]);
  resumption.start(false);
  expect(session.sent).toHaveLength(3);
});

test("an end without the finished tree is asked about", () => {
  const { session, resumption } = seen();
  session.plan();
  resumption.start(true);
  session.say(snapshot("main-new111"));
  session.say({ type: "closed" });
  vi.runAllTimers();
  expect(session.last()).toEqual(asked);
  expect(resumption.going).toBe(false);
});

test("a run that is lost with its kernel is the one to resume then", () => {
  const { session, resumption } = seen();
  session.plan();
  resumption.start(true);
  session.say(snapshot("main-new111"));
  session.restart();
  expect(resumption.link?.closed).toBe(true);
  expect([resumption.plan, resumption.going]).toEqual([null, false]);
  vi.runAllTimers();
  expect(session.last()).toEqual({ type: "plan", run: "main-new111" });
  session.plan();
  resumption.start(true);
  expect(session.last()).toEqual({ type: "resume", run: "main-new111", keep: true });
  session.say(snapshot("main-third9"));
  expect(resumption.link?.store.header.name).toBe("main-third9");
});

test("an answer about another run, and nonsense, change nothing", () => {
  const { session, resumption } = seen();
  for (const nonsense of [null, 7, [], {}, { type: "plan" }, { type: "plan", run: "other", changed: 1 }]) {
    session.say(nonsense);
    expect(resumption.plan).toBeNull();
  }
  session.plan({ changed: "many", keep: -1, error: 7, going: "yes" });
  expect(resumption.plan).toEqual({ changed: 0, keep: 0, error: null });
  expect(resumption.going).toBe(false);
});

test("when it is disposed of, nobody listens and the comm is closed", () => {
  const { session, resumption } = seen();
  resumption.dispose();
  session.execute();
  vi.runAllTimers();
  expect([session.closed, session.watched, session.sent.length]).toEqual([1, false, 1]);
});
