// Keys while the focus is inside a view, before the page around takes them for its own shortcuts.

import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";

/** Returns true when the key has been handled. */
export type KeyHandler = (key: string, target: Element) => boolean;

/**
 * JupyterLab listens on the document in the capture phase and takes single letters, arrows and Enter as commands on the
 * cell. So, only while the focus is inside, we listen before it, on the window. Keys with modifiers stay JupyterLab's.
 */
export function useKeys(root: RefObject<HTMLElement | null>, handle: KeyHandler): void {
  // The listener stays the same while the focus is inside: only what it does changes from paint to paint.
  const latest = useRef(handle);
  latest.current = handle;
  useEffect(() => {
    const element = root.current;
    if (element === null) return;
    const listen = (event: KeyboardEvent) => {
      const target = event.composedPath()[0];
      if (!(target instanceof Element) || !element.contains(target) || isTheirs(event)) return;
      if (latest.current(event.key, target)) event.preventDefault();
      event.stopPropagation();
    };
    const attach = () => window.addEventListener("keydown", listen, true);
    const detach = () => window.removeEventListener("keydown", listen, true);
    element.addEventListener("focusin", attach);
    element.addEventListener("focusout", detach);
    return () => {
      detach();
      element.removeEventListener("focusin", attach);
      element.removeEventListener("focusout", detach);
    };
  }, [root]);
}

function isTheirs(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return true;
  if (event.key === "Tab" || /^F\d+$/.test(event.key)) return true;
  return event.shiftKey && event.key.length > 1;
}
