// What the tree of a failed run says to the kernel: what would resuming it run, and, on a click, resume it.

import { Link } from "./link";
import { readTold } from "./parse";
import type { Plan, SaidByTree } from "./protocol";
import type { Conversation, Session } from "./session";

const TARGET = "flyte_notebook";
/** Cells run in quick succession, as by "Run All", are one occasion to ask. */
const SETTLE_MS = 250;

/** What the notebook keeps of the run that has resumed the failed one. */
export type Keep = (bundle: Record<string, unknown>) => void;

export class Resumption {
  /** The run to resume: the failed one, or one that resumed it and was lost with its kernel. */
  run: string;
  plan: Plan | null = null;
  /** Why the kernel did not resume it. */
  refused: string | null = null;
  /** A click is on its way, or the run goes on. */
  going = false;
  /** Whether it was this page that asked for it, and not one before a reload. */
  clicked = false;
  /** The run that resumes it, once the kernel has told of it. */
  link: Link | null = null;
  #kernel: Conversation | null = null;
  /** The kernel has refused to speak. */
  #absent = false;
  #visible = false;
  /** Something has happened since the plan was asked for. */
  #stale = true;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #unwatch: () => void;
  readonly #listeners = new Set<() => void>();

  constructor(
    readonly failed: string,
    readonly session: Session,
    readonly keep: Keep,
  ) {
    this.run = failed;
    this.#unwatch = session.watch({ executed: code => this.#executed(code), lost: () => this.#lose() });
  }

  /** Calls `listener` after every change; returns what undoes it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What nobody sees need not be known. */
  show(visible: boolean): void {
    this.#visible = visible;
    this.#ask();
  }

  /** Resume the run; `keep`: recover also the successes whose code has changed. */
  start(keep: boolean): void {
    if (this.going || this.plan === null || this.plan.error !== null) return;
    this.clicked = true;
    this.#join(keep);
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#unwatch();
    this.#listeners.clear();
    const kernel = this.#kernel;
    this.#kernel = null;
    kernel?.close();
  }

  #executed(code: string): void {
    // A kernel without the extension writes an error to its log whenever it is asked: ask again once it may be loaded.
    if (this.#absent && !code.includes("flyte")) return;
    this.#expire();
  }

  #expire(): void {
    this.#stale = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), SETTLE_MS);
  }

  #ask(): void {
    if (!this.#visible || !this.#stale || this.going) return;
    this.#stale = false;
    this.#send({ type: "plan", run: this.run });
  }

  #join(keep: boolean): void {
    this.going = true;
    this.refused = null;
    this.#send({ type: "resume", run: this.run, keep });
    this.#notify();
  }

  #send(message: SaidByTree): void {
    this.#kernel ??= this.#connect();
    this.#kernel?.send(message);
  }

  #connect(): Conversation | null {
    const kernel = this.session.connect(TARGET, {
      heard: data => this.#hear(data),
      closed: () => {
        // The extension is not loaded there, or no longer.
        if (this.#kernel !== kernel) return;
        this.#absent = true;
        this.#forget();
      },
    });
    return kernel;
  }

  #hear(data: unknown): void {
    const told = readTold(data);
    this.#absent = false;
    switch (told?.type) {
      case "plan":
        if (told.run !== this.run) return;
        this.plan = told.plan;
        this.refused = null;
        // Asked for by another page, or by this one before it was loaded anew.
        if (told.going && !this.going) this.#join(true);
        break;
      case "refused":
        this.going = false;
        this.refused = told.error;
        break;
      case "saved":
        this.going = false;
        this.keep(told.bundle);
        break;
      default:
        this.#follow(data);
    }
    this.#notify();
  }

  #follow(data: unknown): void {
    if (this.link === null || this.link.closed) {
      const { type, run } = (data ?? {}) as { type?: unknown; run?: unknown };
      if (type !== "snapshot") return;
      this.link = new Link(run, message => this.#send(message));
    }
    this.link.receive(data);
    if (this.link.closed && this.going) {
      // Without having been given the finished tree: the kernel may have it still.
      this.going = false;
      this.#expire();
    }
  }

  /** The kernel is gone: what it was doing is on record, and can be resumed in turn. */
  #lose(): void {
    if (this.going && this.link !== null) this.run = this.link.store.header.name;
    this.#absent = false;
    this.#forget();
    this.#expire();
  }

  #forget(): void {
    this.#kernel = null;
    this.plan = null;
    this.refused = null;
    this.going = false;
    this.link?.close();
    this.#notify();
  }

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}
