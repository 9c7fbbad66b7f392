// A notebook's kernel that a test plays: what it was told, and what it says.

import type { Hearer, Session, Watcher } from "../src/session";

export class FakeSession implements Session {
  /** Everything sent, over whatever comm. */
  readonly sent: Record<string, unknown>[] = [];
  comms = 0;
  closed = 0;
  alive = true;
  #hearer: Hearer | null = null;
  readonly #watchers = new Set<Watcher>();

  connect(_target: string, hearer: Hearer) {
    if (!this.alive) return null;
    this.comms++;
    this.#hearer = hearer;
    return {
      send: (message: object) => void this.sent.push({ ...message }),
      close: () => void this.closed++,
    };
  }

  watch(watcher: Watcher) {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  get watched(): boolean {
    return this.#watchers.size > 0;
  }

  say(data: unknown): void {
    this.#hearer?.heard(data);
  }

  refuse(): void {
    this.#hearer?.closed();
  }

  execute(code = "1"): void {
    for (const watcher of this.#watchers) watcher.executed(code);
  }

  restart(): void {
    for (const watcher of this.#watchers) watcher.lost();
  }

  plan(change: object = {}): void {
    const run = this.sent.filter(message => message.type === "plan").at(-1)?.run;
    this.say({ type: "plan", run, changed: 731, keep: 1, error: null, going: false, ...change });
  }

  last(): unknown {
    return this.sent.at(-1);
  }
}
