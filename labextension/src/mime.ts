// The JupyterLab extension: draws a run that is saved in a notebook, without a kernel and without a widget model.

import type { IRenderMime } from "@jupyterlab/rendermime-interfaces";
import { Widget } from "@lumino/widgets";
import { h, render } from "preact";
import { readSavedRun } from "./parse";
import { RUN_MIME } from "./protocol";
import { RunStore } from "./store";
import { RunView } from "./view/run-view";

const NEWER = "This run was saved by a newer flyte_notebook: install that version to see its tree.";

export class SavedRunRenderer extends Widget implements IRenderMime.IRenderer {
  /** Nothing is promised about a rejected model: an output that cannot be read says so itself. */
  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const saved = readSavedRun(model.data[RUN_MIME]);
    const shown =
      saved === null ? h("p", null, NEWER) : h(RunView, { store: RunStore.saved(saved), link: null });
    render(shown, this.node);
    return Promise.resolve();
  }

  override dispose(): void {
    if (!this.isDisposed) render(null, this.node);
    super.dispose();
  }
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
