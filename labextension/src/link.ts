// The browser's end of the conversation with a kernel about one run: says hello, fills the store, notices what it missed.

import { readHeader, readMessage } from "./parse";
import type { FromKernel, ToKernel } from "./protocol";
import { RunStore } from "./store";

export class Link {
  readonly store: RunStore;
  /** Sequence number of the last patch applied; null until a snapshot has come. */
  #seq: number | null = null;
  /** False once the kernel is gone or has closed the view: nobody listens. */
  #open = true;
  /** Details that have been asked for and not answered yet. */
  readonly #asked = new Set<number>();

  readonly #send: (message: ToKernel) => void;
  readonly #page = Math.random().toString(36).slice(2);

  /** `header` is what the widget's model knew before the kernel answered. */
  constructor(header: unknown, send: (message: ToKernel) => void) {
    this.#send = send;
    this.store = new RunStore(readHeader(header));
  }

  /** True once nothing more can come. */
  get closed(): boolean {
    return !this.#open;
  }

  hello(): void {
    this.#seq = null;
    // Whatever was asked before may never be answered.
    this.#asked.clear();
    this.#send({ type: "hello", page: this.#page });
  }

  /** Ask for the details of an action, unless the answer is on its way. */
  requestDetail(index: number): void {
    if (!this.#open || this.#asked.has(index)) return;
    this.#asked.add(index);
    this.#send({ type: "detail", i: index });
  }

  /** Ask the kernel to cancel the run, or one action with all it started. */
  cancel(index?: number): void {
    if (!this.#open) return;
    if (index === undefined) this.store.cancelling = true;
    else this.store.cancellingActions.add(index);
    this.#send(index === undefined ? { type: "cancel" } : { type: "cancel", i: index });
    this.store.notify();
  }

  /** The kernel is gone, or has nothing more to say: the clock stops where it is. */
  close(): void {
    this.#open = false;
    const { header } = this.store;
    if (!header.live) return;
    this.store.setHeader({ ...header, elapsed: this.store.now(), live: false });
    this.store.notify();
  }

  /** The low-rate trait, which is there even when messages were missed, and when nothing but time went on. */
  receiveHeader(header: unknown): void {
    this.store.setHeader(readHeader(header));
    this.store.heard();
  }

  receive(content: unknown): void {
    const message = readMessage(content);
    if (message === null) return;
    this.#apply(message);
    this.store.heard();
  }

  #apply(message: FromKernel): void {
    switch (message.type) {
      case "snapshot":
        this.#open = true;
        this.#seq = message.seq;
        this.store.setHeader(message.run);
        this.store.replace(message.rows);
        break;
      case "patch":
        this.#patch(message.seq, message);
        break;
      case "detail":
        this.#asked.delete(message.i);
        this.store.details.set(message.i, message.detail);
        break;
      case "header":
        this.store.setHeader(message.run);
        break;
      case "closed":
        this.close();
    }
  }

  #patch(seq: number, { run, rows }: Extract<FromKernel, { type: "patch" }>): void {
    // Rows are sent whole, so what arrives is worth showing even when something before it was lost.
    if (this.#seq !== null && seq <= this.#seq) return;
    const gap = this.#seq !== null && seq !== this.#seq + 1;
    if (this.#seq !== null) this.#seq = seq;
    this.store.setHeader(run);
    this.store.merge(rows);
    if (gap) this.hello();
  }
}
