// One view of a run: header, tree, details. Several views may show one store; what each shows open is its own.

import type { RefObject } from "preact";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { number, phaseName } from "../format";
import { nameOf, offer, type Stance, standAs, take } from "../handover";
import { pressKey, Typed } from "../keys";
import type { Link } from "../link";
import { type Line, Outline } from "../outline";
import type { Resumption } from "../resumption";
import { isTerminal, type Node, type RunStore } from "../store";
import { Details } from "./details";
import { RunHeader } from "./header";
import { useKeys } from "./keyboard";
import { PAGE, Tree } from "./tree";

const TICK_MS = 100;
/** How often an open pane asks for the details of an action that still runs: its log grows. */
const REFRESH_MS = 1_000;

export interface RunViewProps {
  store: RunStore;
  /** Null for a saved run: there is no kernel to ask. */
  link: Link | null;
  /** How the run can be resumed; null where it cannot, or need not. */
  resumption?: Resumption | null;
}

export function RunView({ store, link, resumption = null }: RunViewProps) {
  const outline = useMemo(() => new Outline(store), [store]);
  const uid = useMemo(() => Math.random().toString(36).slice(2), []);
  const typed = useMemo(() => new Typed(), []);
  const repaint = useRepaint(store);
  const root = useRef<HTMLDivElement>(null);
  const tree = useRef<HTMLDivElement>(null);
  const [pane, setPane] = useState(false);
  const [panel, setPanel] = useState<string | null>(null);
  const node = outline.selectedLine?.node ?? null;
  useHandover(outline, link, tree, { pane, panel }, stance => {
    setPane(stance.pane);
    setPanel(stance.panel);
  });

  const activate = useCallback(
    (line: Line) => {
      outline.select(line.key);
      if (line.kind === "rest") outline.open(line.node);
      else if (line.kind === "row" && line.node.isGroup) outline.toggle(line.node);
      else if (line.kind === "row") setPane(true);
      repaint();
    },
    [outline, repaint],
  );
  const toggle = useCallback(
    (line: Line) => {
      outline.toggle(line.node);
      repaint();
    },
    [outline, repaint],
  );
  const close = useCallback(() => {
    setPane(false);
    tree.current?.focus();
  }, []);
  const handle = useCallback(
    (key: string, target: Element) => {
      if (key === "Escape" && pane) {
        close();
        return true;
      }
      if (target.getAttribute("role") === "tab") return pressTab(key, target, setPanel);
      if (target !== tree.current) return false;
      const result = pressKey(outline, typed, key, PAGE, performance.now());
      const line = outline.selectedLine;
      if (result === "activate" && line !== null) activate(line);
      repaint();
      return result !== "ignored";
    },
    [outline, typed, pane, activate, close, repaint],
  );
  useKeys(root, handle);
  useDetail(store, link, pane ? node : null);

  return (
    <div class="flyte-notebook" ref={root}>
      <RunHeader store={store} link={link} resumption={resumption} />
      <Tree outline={outline} uid={uid} treeRef={tree} onSelect={activate} onToggle={toggle} />
      <Footer store={store} />
      {pane && node !== null && (
        <Details
          store={store}
          link={link}
          node={node}
          uid={uid}
          chosen={panel}
          onChoose={setPanel}
          onClose={close}
        />
      )}
      <Announcer store={store} />
    </div>
  );
}

/** A live view says how it stands; a saved view of the same run begins as the live one stood. */
function useHandover(
  outline: Outline,
  link: Link | null,
  tree: RefObject<HTMLElement | null>,
  shown: Pick<Stance, "pane" | "panel">,
  restore: (stance: Stance) => void,
): void {
  const latest = useRef(shown);
  latest.current = shown;
  const { name } = outline.store.header;
  useLayoutEffect(() => {
    if (link === null) {
      const stance = take(name);
      if (stance === null) return;
      standAs(outline, stance);
      restore(stance);
      // Only on the page, where it will be put after this, can it have the focus.
      if (stance.focused) requestAnimationFrame(() => tree.current?.focus({ preventScroll: true }));
      return;
    }
    return offer(name, () => {
      const selected = outline.selectedLine?.node;
      return {
        ...latest.current,
        selected: selected === undefined ? null : nameOf(selected),
        folds: new Map(outline.chosenFolds().map(([node, fold]) => [nameOf(node), fold])),
        focused: tree.current !== null && tree.current === document.activeElement,
      };
    });
  }, [name, outline]);
}

/** Paints again after changes of the store and, while time passes, ten times a second: at most once a frame. */
function useRepaint(store: RunStore): () => void {
  const [, setFrame] = useState(0);
  const pending = useRef(0);
  const repaint = useCallback(() => {
    if (pending.current !== 0) return;
    pending.current = requestAnimationFrame(() => {
      pending.current = 0;
      setFrame(frame => frame + 1);
    });
  }, []);
  useEffect(() => {
    const stop = store.subscribe(repaint);
    // Something may have come between the first paint and this.
    repaint();
    return () => {
      stop();
      cancelAnimationFrame(pending.current);
      pending.current = 0;
    };
  }, [store, repaint]);
  const { ticking } = store;
  useEffect(() => {
    if (!ticking) return;
    const timer = setInterval(repaint, TICK_MS);
    return () => clearInterval(timer);
  }, [ticking, repaint]);
  return repaint;
}

/** Asks for the details of the shown action: when it is chosen, when its phase changes, and while it runs. */
function useDetail(store: RunStore, link: Link | null, node: Node | null): void {
  const index = node === null || node.isGroup ? null : node.index;
  const phase = node?.phase;
  const { ticking } = store;
  useEffect(() => {
    if (link === null || index === null || phase === undefined) return;
    link.requestDetail(index);
    if (!ticking || isTerminal(phase)) return;
    const timer = setInterval(() => link.requestDetail(index), REFRESH_MS);
    return () => clearInterval(timer);
  }, [link, index, phase, ticking]);
}

function pressTab(key: string, target: Element, choose: (panel: string) => void): boolean {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
  if (step === undefined) return false;
  const tabs = [...(target.parentElement?.querySelectorAll<HTMLElement>("[role=tab]") ?? [])];
  const next = tabs.at((tabs.indexOf(target as HTMLElement) + step) % tabs.length);
  if (next?.dataset.panel === undefined) return false;
  choose(next.dataset.panel);
  next.focus();
  return true;
}

function Footer({ store }: { store: RunStore }) {
  const { truncated, header, nodes } = store;
  if (truncated > 0) {
    return (
      <div class="fn-footer">
        {number(truncated)} more {truncated === 1 ? "row is" : "rows are"} on record:{" "}
        <code>%flyte show {header.name}</code>
      </div>
    );
  }
  if (nodes.size > 0) return null;
  return <div class="fn-footer">{store.ticking ? "Waiting for the first action…" : "No actions"}</div>;
}

/** Tells a screen reader what a glance would tell: that something failed, and how the run ends. */
function Announcer({ store }: { store: RunStore }) {
  const { header, counts } = store;
  const failed = counts.FAILED + counts.TIMED_OUT > 0;
  const said = header.ended ? phaseName(header.phase).toLowerCase() : failed ? "has failures" : "";
  return (
    <div class="fn-spoken" role="status">
      {said && `${header.name} ${said}`}
    </div>
  );
}
