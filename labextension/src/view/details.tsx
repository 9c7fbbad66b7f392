// The pane under the tree: what one action was given, returned, printed and raised, and how it was declared.

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { duration, phaseName } from "../format";
import type { Link } from "../link";
import type { Detail } from "../protocol";
import { isTerminal, type Node, type RunStore } from "../store";
import { About } from "./about";
import { CloseIcon, PhaseIcon } from "./icons";
import { ErrorPanel, LogPanel, ReportPanel, SourcePanel, ValuesPanel } from "./panels";
import { summarise } from "./summary";

interface Panel {
  name: string;
  content: ComponentChildren;
}

export interface DetailsProps {
  store: RunStore;
  link: Link | null;
  node: Node;
  uid: string;
  /** Name of the panel last chosen; shown when this action has it. */
  chosen: string | null;
  onChoose: (panel: string) => void;
  onClose: () => void;
}

export function Details(props: DetailsProps) {
  const { store, link, node, onClose } = props;
  const cancellable = link !== null && store.ticking && !node.isGroup && !isTerminal(node.phase);
  return (
    <section class="fn-details" aria-label={`Details of ${node.row.n}`}>
      <div class="fn-details-head">
        <PhaseIcon phase={node.phase} />
        <span class="fn-details-name">{node.row.n}</span>
        <span class="fn-details-sub">{subtitle(node)}</span>
        {cancellable && (
          <button
            type="button"
            class="fn-button fn-cancel"
            disabled={store.cancellingActions.has(node.index)}
            onClick={() => link.cancel(node.index)}
          >
            Cancel action
          </button>
        )}
        <button type="button" class="fn-icon-button" aria-label="Close details" onClick={onClose}>
          <CloseIcon />
        </button>
      </div>
      {node.isGroup ? <GroupSummary node={node} now={store.now()} /> : <Panels {...props} />}
    </section>
  );
}

function subtitle({ row, phase, extent }: Node): string {
  const parts = [phaseName(phase)];
  if (extent.begin !== undefined && extent.end !== undefined) parts.push(duration(extent.end - extent.begin));
  if (row.t !== undefined && row.t !== row.n) parts.push(row.t);
  return parts.join(" · ");
}

function Panels({ store, link, node, uid, chosen, onChoose }: DetailsProps) {
  const detail = store.details.get(node.index);
  if (detail === undefined) return <Missing store={store} link={link} />;
  const panels = panelsOf(node, detail);
  const panel = panels.find(({ name }) => name === chosen) ?? panels[0];
  if (panel === undefined) return null;
  const panelId = `fn-${uid}-panel`;
  const follows = panel.name === "Log" && !isTerminal(node.phase);
  return (
    <>
      <div class="fn-tabs" role="tablist">
        {panels.map(({ name }) => (
          <button
            key={name}
            type="button"
            role="tab"
            class="fn-tab"
            id={`fn-${uid}-tab-${name}`}
            data-panel={name}
            aria-selected={name === panel.name}
            aria-controls={panelId}
            tabIndex={name === panel.name ? 0 : -1}
            onClick={() => onChoose(name)}
          >
            {name}
          </button>
        ))}
      </div>
      <Scrolling
        // Another panel, or another action's, starts at its top.
        key={`${node.index} ${panel.name}`}
        follows={follows}
        id={panelId}
        tab={`fn-${uid}-tab-${panel.name}`}
      >
        {panel.content}
      </Scrolling>
    </>
  );
}

interface ScrollingProps {
  follows: boolean;
  id: string;
  tab: string;
  children: ComponentChildren;
}

/** A panel; one that `follows` stays at its end when it grows, until it is scrolled away from there. */
function Scrolling({ follows, id, tab, children }: ScrollingProps) {
  const panel = useRef<HTMLDivElement>(null);
  const height = useRef(0);
  useLayoutEffect(() => {
    const element = panel.current;
    if (element === null) return;
    const atEnd = element.scrollTop + element.clientHeight >= height.current - 1;
    if (follows && atEnd) element.scrollTop = element.scrollHeight;
    height.current = element.scrollHeight;
  });
  return (
    <div
      ref={panel}
      class="fn-panel"
      role="tabpanel"
      id={id}
      aria-labelledby={tab}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable from the keyboard
      tabIndex={0}
    >
      {children}
    </div>
  );
}

function panelsOf(node: Node, detail: Detail): Panel[] {
  const panels: Panel[] = [];
  if (detail.error !== null) panels.push({ name: "Error", content: <ErrorPanel error={detail.error} /> });
  panels.push({ name: "Values", content: <ValuesPanel detail={detail} phase={node.phase} /> });
  if (detail.log.length > 0) panels.push({ name: "Log", content: <LogPanel log={detail.log} /> });
  if (detail.report !== null)
    panels.push({ name: "Report", content: <ReportPanel report={detail.report} /> });
  if (detail.source !== null)
    panels.push({ name: "Source", content: <SourcePanel source={detail.source} /> });
  panels.push({ name: "About", content: <About detail={detail} node={node} /> });
  return panels;
}

function Missing({ store, link }: Pick<DetailsProps, "store" | "link">) {
  const { name, live } = store.header;
  if (live) return <div class="fn-panel fn-muted">Asking the kernel…</div>;
  const reason =
    link === null ? "were left out of the notebook to keep it small" : "were not fetched in time";
  return (
    <div class="fn-panel fn-muted">
      These details {reason}. They are on record: <code>%flyte show {name}</code>
    </div>
  );
}

function GroupSummary({ node, now }: { node: Node; now: number }) {
  const { items, fastest, median, slowest } = summarise(node, now);
  const facts: [string, string][] = [["Items", items]];
  if (slowest !== null) {
    facts.push(["Fastest", duration(fastest)], ["Median", duration(median)]);
    facts.push(["Slowest", duration(slowest)]);
  }
  return (
    <dl class="fn-panel fn-facts">
      {facts.map(([name, value]) => (
        <div key={name} class="fn-fact">
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
