// What one output shows: a saved run, those that resumed one another after it, and the one that does so now.

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Resumption } from "../resumption";
import type { RunStore } from "../store";
import { useResumption } from "./offer";
import { RunView } from "./run-view";

export interface RunsProps {
  stores: RunStore[];
  /** How the last of them can be resumed; null where there is no kernel, or no need. */
  resumption: Resumption | null;
}

export function Runs({ stores, resumption }: RunsProps) {
  const root = useRef<HTMLDivElement>(null);
  useResumption(resumption);
  useVisibility(root, resumption);
  const link = resumption?.link ?? null;
  useFocus(root, resumption);
  return (
    <div ref={root}>
      {stores.map((store, position) => (
        <RunView
          key={`saved ${store.header.name}`}
          store={store}
          link={null}
          resumption={link === null && position === stores.length - 1 ? resumption : null}
        />
      ))}
      {link !== null && (
        <RunView
          key={`live ${link.store.header.name}`}
          store={link.store}
          link={link}
          // It was lost with its kernel, and can be resumed itself.
          resumption={link.closed ? resumption : null}
        />
      )}
    </div>
  );
}

/** Tells the resumption whether anybody sees the tree. */
function useVisibility(root: { current: HTMLElement | null }, resumption: Resumption | null): void {
  useEffect(() => {
    if (resumption === null || root.current === null) return;
    const observer = new IntersectionObserver(seen => resumption.show(seen.at(-1)?.isIntersecting ?? false));
    observer.observe(root.current);
    return () => observer.disconnect();
  }, [root, resumption]);
}

/** The button that was pressed is gone once its run is there: the focus goes on to the new tree. */
function useFocus(root: { current: HTMLElement | null }, resumption: Resumption | null): void {
  const link = resumption?.link ?? null;
  useLayoutEffect(() => {
    if (link === null || resumption?.clicked !== true || document.activeElement !== document.body) return;
    const trees = root.current?.querySelectorAll<HTMLElement>("[role=tree]") ?? [];
    [...trees].at(-1)?.focus({ preventScroll: true });
  }, [root, link, resumption]);
}
