import type { IRenderMime } from "@jupyterlab/rendermime-interfaces";
import { expect, test } from "vitest";
import extension from "../src/mime";
import { RUN_MIME } from "../src/protocol";
import { detail, header, row } from "./scenes";

function renderer(): IRenderMime.IRenderer {
  const created = extension.rendererFactory.createRenderer({} as IRenderMime.IRendererOptions);
  document.body.append(created.node);
  return created;
}

function model(saved: unknown): IRenderMime.IMimeModel {
  return { data: { [RUN_MIME]: saved }, metadata: {}, trusted: false } as unknown as IRenderMime.IMimeModel;
}

const saved = {
  version: 1,
  run: header({ phase: "FAILED", ended: true, live: false, elapsed: 120, total: 3 }),
  rows: [
    row(0, { n: "main", s: "FAILED", x: "ValueError: bad row 7" }),
    row(1, { p: 0, n: "load", v: "[1, 2]" }),
  ],
  details: { "1": detail() },
  truncated: 40,
};

test("it comes before HTML and needs no trust", () => {
  expect(extension.rank).toBeLessThan(50);
  expect(extension.rendererFactory.safe).toBe(true);
  expect(extension.rendererFactory.mimeTypes).toEqual([RUN_MIME]);
});

test("a saved run is drawn as it ended, without a kernel to cancel", async () => {
  const view = renderer();
  await view.renderModel(model(saved));
  expect(view.node.textContent).toContain("ValueError: bad row 7");
  expect(view.node.textContent).toContain("40 more rows are on record: %flyte show main-x7k2ab");
  expect(view.node.querySelectorAll("[role=treeitem]")).toHaveLength(2);
  expect(view.node.querySelector("button")).toBeNull();
});

test("details that were saved are shown, others say where they are", async () => {
  const view = renderer();
  await view.renderModel(model(saved));
  const settled = () => new Promise(resolve => setTimeout(resolve, 50));
  view.node.querySelector<HTMLElement>('[data-key="1"]')?.click();
  await settled();
  expect(view.node.querySelector("[role=tabpanel]")?.textContent).toContain("Output");
  view.node.querySelector<HTMLElement>('[data-key="0"]')?.click();
  await settled();
  expect(view.node.textContent).toContain("left out of the notebook");
});

test("rendering again shows the new run and nothing of the old", async () => {
  const view = renderer();
  await view.renderModel(model(saved));
  await view.renderModel(model({ ...saved, rows: [row(0, { n: "other" })], truncated: 0 }));
  expect(view.node.querySelectorAll("[role=treeitem]")).toHaveLength(1);
  expect(view.node.textContent).toContain("other");
});

test("a run of a newer version says what to do, and what comes after it is drawn", async () => {
  const view = renderer();
  await view.renderModel(model({ version: 2 }));
  expect(view.node.textContent).toContain("newer flyte_notebook");
  await view.renderModel(model(saved));
  expect(view.node.textContent).not.toContain("newer flyte_notebook");
  expect(view.node.querySelectorAll("[role=treeitem]")).toHaveLength(2);
});

test("a renderer that is disposed of leaves nothing", async () => {
  const view = renderer();
  await view.renderModel(model(saved));
  view.dispose();
  view.dispose();
  expect(view.isDisposed).toBe(true);
  expect(view.node.querySelector(".flyte-notebook")).toBeNull();
});
