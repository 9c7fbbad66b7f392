// The anywidget bundle: the live tree of a run, for every front end that shows ipywidgets.

import { h, render as renderView } from "preact";
import { Link } from "./link";
import { RunView } from "./view/run-view";

/** What of anywidget's model is used here. */
export interface Model {
  get(name: string): unknown;
  send(content: unknown): void;
  on(event: string, listener: (value: unknown) => void): void;
  off(event: string, listener: (value: unknown) => void): void;
}

/** A widget module's default export: called once for each model, so that its views share one store. */
export default function widget() {
  let link: Link | null = null;

  /** Listens from here on, and not from `render`, which comes after the first messages. */
  function initialize({ model }: { model: Model }): () => void {
    const current = new Link(model.get("header"), message => model.send(message));
    link = current;
    const onMessage = (content: unknown) => current.receive(content);
    const onHeader = () => current.receiveHeader(model.get("header"));
    // The model's comm was live when it was made: the next change is that its kernel is gone.
    const onComm = () => current.close();
    model.on("msg:custom", onMessage);
    model.on("change:header", onHeader);
    model.on("comm_live_update", onComm);
    current.hello();
    return () => {
      model.off("msg:custom", onMessage);
      model.off("change:header", onHeader);
      model.off("comm_live_update", onComm);
    };
  }

  function render({ el }: { el: HTMLElement }): () => void {
    if (link === null) throw new Error("render was called before initialize");
    renderView(h(RunView, { store: link.store, link }), el);
    return () => renderView(null, el);
  }

  return { initialize, render };
}
