// The scrolling tree: only the lines in sight exist, and they stay where they are while others come.

import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { axisEnd } from "../format";
import type { Line, Outline } from "../outline";
import { AxisHeader, axisStep } from "./axis";
import { TreeRow } from "./row";

export const ROW_PX = 24;
export const PAGE = 15;
const OVERSCAN = 8;

export interface TreeProps {
  outline: Outline;
  /** Unique in the document. */
  uid: string;
  treeRef: RefObject<HTMLDivElement | null>;
  onSelect: (line: Line) => void;
  onToggle: (line: Line) => void;
}

export function Tree({ outline, uid, treeRef, onSelect, onToggle }: TreeProps) {
  const { store } = outline;
  const lines = outline.lines();
  const [top, setTop] = useScroll(treeRef, outline);
  const now = store.now();
  const end = store.ticking ? axisEnd(now) : Math.max(now, 1);
  const first = Math.max(0, Math.floor(top / ROW_PX) - OVERSCAN);
  const shown = lines.slice(first, first + PAGE + 2 * OVERSCAN);
  const active = shown.find(line => line.key === outline.selected);
  const rowId = (line: Line) => `fn-${uid}-${line.key}`;
  return (
    <>
      {lines.length > 0 && <AxisHeader end={end} />}
      <div
        ref={treeRef}
        class="fn-tree"
        role="tree"
        aria-label={`Actions of ${store.header.name}`}
        aria-activedescendant={active && rowId(active)}
        tabIndex={0}
        style={{ "--fn-step": `${(100 * axisStep(end)) / end}%`, maxHeight: `${PAGE * ROW_PX}px` }}
        onScroll={event => setTop(event.currentTarget.scrollTop)}
      >
        <div class="fn-canvas" role="none" style={{ height: `${lines.length * ROW_PX}px` }}>
          <div role="none" class="fn-window" style={{ transform: `translateY(${first * ROW_PX}px)` }}>
            {shown.map(line => (
              <TreeRow
                key={line.key}
                id={rowId(line)}
                line={line}
                fold={line.kind === "row" ? outline.state(line.node) : "leaf"}
                selected={line.key === outline.selected}
                now={now}
                end={end}
                cancelling={store.cancellingActions.has(line.node.index)}
                onSelect={onSelect}
                onToggle={onToggle}
              />
            ))}
          </div>
        </div>
      </div>
    </>
  );
}

interface Anchor {
  lines: readonly Line[];
  key: number;
  offset: number;
  atEnd: boolean;
}

/**
 * Scroll position that follows the line at the top of the view when lines come or go above it, stays at the end when
 * it was there, and brings a newly selected line into sight.
 */
function useScroll(scroller: RefObject<HTMLDivElement | null>, outline: Outline) {
  const [top, setTop] = useState(0);
  const anchor = useRef<Anchor | null>(null);
  const revealed = useRef<number | null>(null);
  const lines = outline.lines();
  const height = PAGE * ROW_PX;
  const bottom = Math.max(0, lines.length * ROW_PX - height);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    let wanted = Math.min(element.scrollTop, bottom);
    const held = anchor.current;
    if (held !== null && held.lines !== lines && wanted > 0) {
      const place = outline.placeOf(held.key);
      if (held.atEnd) wanted = bottom;
      else if (place >= 0) wanted = Math.min(bottom, place * ROW_PX + held.offset);
    }
    // A renderer may be drawn before it is put on the page: then there is nothing to scroll yet.
    if (revealed.current !== outline.selected && element.isConnected) {
      revealed.current = outline.selected;
      const place = outline.placeOf(outline.selected);
      if (place >= 0) wanted = Math.max(Math.min(wanted, place * ROW_PX), (place + 1) * ROW_PX - height);
    }
    if (Math.abs(wanted - element.scrollTop) >= 1) element.scrollTop = wanted;
    setTop(element.scrollTop);
    anchor.current = anchorAt(lines, element.scrollTop, bottom);
  });
  useEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    // Off the page or hidden, an element forgets where it was scrolled to.
    const observer = new ResizeObserver(() => {
      const place = outline.placeOf(anchor.current?.key ?? null);
      if (element.clientHeight > 0 && element.scrollTop === 0 && place >= 0) {
        element.scrollTop = place * ROW_PX + (anchor.current?.offset ?? 0);
      }
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [scroller, outline]);
  return [top, setTop] as const;
}

function anchorAt(lines: readonly Line[], top: number, bottom: number): Anchor | null {
  const line = lines[Math.floor(top / ROW_PX)];
  return line ? { lines, key: line.key, offset: top % ROW_PX, atEnd: top >= bottom - 1 } : null;
}
