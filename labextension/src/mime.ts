// The JupyterLab extension: draws a run that is saved in a notebook, without a widget model, and without a kernel if need be.

import type { IRenderMime } from "@jupyterlab/rendermime-interfaces";
import type { Message } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";
import { h, render } from "preact";
import { RUN_MIME, type SavedRun } from "./protocol";
import { Resumption } from "./resumption";
import { readSavedRuns, withResumed } from "./saved";
import { sessionOf } from "./session";
import { RunStore } from "./store";
import { Runs } from "./view/runs";

const NEWER = "This run was saved by a newer flyte_notebook: install that version to see its tree.";

export class SavedRunRenderer extends Widget implements IRenderMime.IRenderer {
  #model: IRenderMime.IMimeModel | null = null;
  /** What is drawn, by what it was read from. */
  #drawn = new Map<string, RunStore>();
  #resumption: Resumption | null = null;

  /** Nothing is promised about a rejected model: an output that cannot be read says so itself. */
  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.#model = model;
    const runs = readSavedRuns(model.data[RUN_MIME]).map((saved): [string, SavedRun] => [
      identity(saved),
      saved,
    ]);
    // A run that is drawn already keeps what is open in it.
    this.#drawn = new Map(
      runs.map(([known, saved]) => [known, this.#drawn.get(known) ?? RunStore.saved(saved)]),
    );
    this.#connect();
    this.#draw();
    return Promise.resolve();
  }

  /** Only on the page it is known which notebook this is in. */
  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.#connect();
    this.#draw();
  }

  override dispose(): void {
    if (this.isDisposed) return;
    render(null, this.node);
    this.#resumption?.dispose();
    super.dispose();
  }

  get #stores(): RunStore[] {
    return [...this.#drawn.values()];
  }

  #draw(): void {
    if (this.#model === null) return;
    const runs = { stores: this.#stores, resumption: this.#resumption };
    render(runs.stores.length === 0 ? h("p", null, NEWER) : h(Runs, runs), this.node);
  }

  /** Offer to resume the last run, where it has not succeeded and a notebook is around. */
  #connect(): void {
    const last = this.#stores.at(-1)?.header;
    const wanted = last !== undefined && last.phase !== "SUCCEEDED" ? last.name : null;
    if (this.#resumption !== null && this.#resumption.failed === wanted) return;
    this.#resumption?.dispose();
    const session = wanted === null || !this.isAttached ? null : sessionOf(this.node);
    this.#resumption =
      wanted === null || session === null
        ? null
        : new Resumption(wanted, session, bundle => this.#keep(bundle));
  }

  /** Put the run that has resumed the last one into the notebook; that draws it, too. */
  #keep(bundle: Record<string, unknown>): void {
    const model = this.#model;
    const data = model === null ? null : withResumed(model.data, bundle);
    if (model !== null && data !== null)
      model.setData({ data: data as typeof model.data, metadata: model.metadata });
  }
}

function identity({ run, rows, details, truncated }: SavedRun): string {
  return JSON.stringify([run, rows, [...details], truncated]);
}

const extension: IRenderMime.IExtension = {
  id: "flyte-notebook:run",
  description: "Draws the tree of a Flyte run that is saved in a notebook.",
  rendererFactory: {
    safe: true,
    mimeTypes: [RUN_MIME],
    createRenderer: () => new SavedRunRenderer(),
  },
  // Before text/html, which the same output carries for viewers without this extension.
  rank: -20,
  dataType: "json",
};

export default extension;
