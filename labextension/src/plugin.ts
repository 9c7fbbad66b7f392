// The JupyterLab plugin beside the renderer: tells which notebook's kernel a drawn run can speak to.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { INotebookTracker, type NotebookPanel } from "@jupyterlab/notebook";
import { type Conversation, findBy, type Hearer, type Session, type Watcher } from "./session";

type Context = NotebookPanel["sessionContext"];

const GONE = new Set(["restarting", "autorestarting", "terminating", "dead"]);

/** The session of a notebook in the words of `session.ts`. */
export function sessionIn(context: Context): Session {
  return {
    connect: (target, hearer) => connect(context, target, hearer),
    watch: watcher => watch(context, watcher),
  };
}

function connect(context: Context, target: string, hearer: Hearer): Conversation | null {
  const kernel = context.session?.kernel;
  if (!kernel?.handleComms) return null;
  const comm = kernel.createComm(target);
  comm.onMsg = message => hearer.heard(message.content.data);
  comm.onClose = () => hearer.closed();
  comm.open();
  return {
    send: message => {
      if (!comm.isDisposed) comm.send({ ...message });
    },
    close: () => {
      if (!comm.isDisposed) comm.close();
    },
  };
}

function watch(context: Context, watcher: Watcher): () => void {
  let code = "";
  const onMessage: Parameters<Context["iopubMessage"]["connect"]>[0] = (_, message) => {
    const { header, content, parent_header: parent } = message;
    // Comm messages end in "idle" as well, our own too: only cells count.
    if (!("msg_type" in parent) || parent.msg_type !== "execute_request") return;
    if (header.msg_type === "execute_input" && "code" in content) code = String(content.code);
    const idle = "execution_state" in content && content.execution_state === "idle";
    if (header.msg_type === "status" && idle) watcher.executed(code);
  };
  const onStatus = (_: unknown, status: string) => {
    if (GONE.has(status)) watcher.lost();
  };
  const onKernel = () => watcher.lost();
  context.iopubMessage.connect(onMessage);
  context.statusChanged.connect(onStatus);
  context.kernelChanged.connect(onKernel);
  return () => {
    context.iopubMessage.disconnect(onMessage);
    context.statusChanged.disconnect(onStatus);
    context.kernelChanged.disconnect(onKernel);
  };
}

const plugin: JupyterFrontEndPlugin<void> = {
  id: "flyte-notebook:resume",
  description: "Lets the tree of a failed run resume it in the notebook's kernel.",
  autoStart: true,
  requires: [INotebookTracker],
  activate: (_app: JupyterFrontEnd, notebooks: INotebookTracker) => {
    findBy(node => {
      const panel = notebooks.find(each => each.node.contains(node));
      return panel === undefined ? null : sessionIn(panel.sessionContext);
    });
  },
};

export default plugin;
