// One line of the tree.

import { duration, number, phaseName } from "../format";
import type { FoldState, Line } from "../outline";
import type { Row } from "../protocol";
import { isTerminal, type Node } from "../store";
import { GroupIcon, PhaseIcon, TraceIcon, Twisty } from "./icons";
import { Progress, unsettled } from "./progress";

/** Deeper levels keep this indent and say their depth instead: columns stay where they are. */
const DEEPEST_INDENT = 10;
const INDENT_PX = 14;

export interface RowProps {
  id: string;
  line: Line;
  fold: FoldState;
  selected: boolean;
  /** Milliseconds since the run's start, and where the time axis ends. */
  now: number;
  end: number;
  cancelling: boolean;
  onSelect: (line: Line) => void;
  onToggle: (line: Line) => void;
}

export function TreeRow(props: RowProps) {
  const { id, line, fold, selected, onSelect } = props;
  const expanded = fold === "leaf" ? {} : { "aria-expanded": fold !== "closed" };
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the tree handles keys for its active row
    // biome-ignore lint/a11y/useFocusableInteractive: the focus stays on the tree (aria-activedescendant)
    <div
      id={id}
      role="treeitem"
      class={selected ? "fn-row fn-selected" : "fn-row"}
      data-key={line.key}
      aria-level={line.level}
      aria-posinset={line.position}
      aria-setsize={line.size}
      aria-selected={selected}
      aria-label={line.kind === "row" ? spoken(line.node) : remark(line)}
      {...expanded}
      onClick={() => onSelect(line)}
    >
      {line.kind === "row" ? <Cells {...props} /> : <Remark line={line} />}
    </div>
  );
}

function Cells({ line, fold, now, end, cancelling, onToggle }: RowProps) {
  const { node } = line;
  const { row } = node;
  return (
    <>
      <span class="fn-name">
        <Indent level={line.level} />
        {fold === "leaf" ? (
          <span class="fn-twisty" />
        ) : (
          <Toggle line={line} fold={fold} onToggle={onToggle} />
        )}
        <PhaseIcon phase={node.phase} />
        {row.k === "group" && <GroupIcon />}
        {row.k === "trace" && <TraceIcon />}
        <span class="fn-label" title={row.t ?? row.n}>
          {row.n}
        </span>
        {(node.isGroup || (fold !== "leaf" && fold !== "open")) && <Tally node={node} />}
        <Badges row={row} />
      </span>
      <Result node={node} cancelling={cancelling} />
      <Bar node={node} now={now} end={end} />
      <span class="fn-time">{timeText(node, now)}</span>
    </>
  );
}

function Indent({ level }: { level: number }) {
  const shown = Math.min(level - 1, DEEPEST_INDENT);
  return (
    <span class="fn-indent" style={{ width: `${shown * INDENT_PX}px` }}>
      {level - 1 > DEEPEST_INDENT && <span title={`Level ${level}`}>{level}</span>}
    </span>
  );
}

function Toggle({ line, fold, onToggle }: Pick<RowProps, "line" | "fold" | "onToggle">) {
  const toggle = (event: MouseEvent) => {
    event.stopPropagation();
    onToggle(line);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: for the pointer; keys unfold rows with the arrows
    // biome-ignore lint/a11y/useKeyWithClickEvents: as above
    <span class="fn-toggle" onClick={toggle}>
      <Twisty open={fold !== "closed"} />
    </span>
  );
}

function Tally({ node }: { node: Node }) {
  const { total } = node;
  const done = node.counts.SUCCEEDED === total;
  return (
    <>
      {!done && <Progress counts={node.counts} total={total} />}
      <span class="fn-tally">{done ? number(total) : `${number(node.settled)}/${number(total)}`}</span>
    </>
  );
}

function Badges({ row }: { row: Row }) {
  return (
    <>
      {row.a !== undefined && row.a > 1 && (
        <span class="fn-badge fn-attempts" title={`${row.a} attempts`}>
          ×{row.a}
        </span>
      )}
      {row.c && (
        <span class="fn-badge" title="Its result came from the cache: the body did not run">
          cached
        </span>
      )}
      {row.r && (
        <span class="fn-badge" title="Its result was recovered from an earlier run: the body did not run">
          recovered
        </span>
      )}
    </>
  );
}

function Result({ node, cancelling }: { node: Node; cancelling: boolean }) {
  const { row } = node;
  if (cancelling && !isTerminal(node.phase)) return <span class="fn-result fn-remark">Cancelling…</span>;
  if (row.x !== undefined) {
    return (
      <span class="fn-result fn-error" title={row.x}>
        {row.l !== undefined && <span class="fn-line">line {row.l}</span>}
        {row.x}
      </span>
    );
  }
  if (row.h !== undefined) {
    return (
      <span class="fn-result fn-remark" title={row.h}>
        {row.h}
      </span>
    );
  }
  if (node.isGroup) return <span class="fn-result fn-remark">{unsettled(node.counts)}</span>;
  return (
    <span class="fn-result" title={row.v}>
      {row.v}
    </span>
  );
}

function Bar({ node, now, end }: { node: Node; now: number; end: number }) {
  const { begin, end: stop } = node.extent;
  if (begin === undefined) return <span class="fn-lane" />;
  const left = Math.min(100, (100 * Math.max(0, begin)) / end);
  const width = Math.min(100 - left, (100 * Math.max(0, (stop ?? now) - begin)) / end);
  const reused = node.row.c || node.row.r ? " fn-reused" : "";
  const kind = node.isGroup ? " fn-group-bar" : "";
  return (
    <span class="fn-lane">
      <span
        class={`fn-bar fn-phase-${node.phase}${reused}${kind}`}
        style={{ left: `${left}%`, width: `${width}%` }}
      />
    </span>
  );
}

function timeText({ extent }: Node, now: number): string {
  const { begin, end } = extent;
  return begin === undefined ? "" : duration((end ?? now) - begin);
}

function Remark({ line }: { line: Line }) {
  return (
    <>
      <span class={line.kind === "rest" ? "fn-name fn-rest" : "fn-name fn-muted"}>
        <Indent level={line.level} />
        <span class="fn-twisty" />
        {remark(line)}
      </span>
      <span class="fn-result" />
      <span class="fn-lane" />
    </>
  );
}

function remark({ kind, node }: Line): string {
  if (kind === "rest") return `Show all ${number(node.total)}`;
  return `${number(node.total - node.children.length)} more on record`;
}

/** The line as a sentence; without what changes ten times a second. */
function spoken(node: Node): string {
  const { row, phase, extent } = node;
  const parts = [row.n, phaseName(phase).toLowerCase()];
  if (node.isGroup) parts.push(`${number(node.settled)} of ${number(node.total)}`);
  if (row.a !== undefined && row.a > 1) parts.push(`${row.a} attempts`);
  if (row.c) parts.push("cached");
  if (row.r) parts.push("recovered");
  const said = row.x ?? row.h ?? row.v;
  if (said !== undefined) parts.push(said);
  if (extent.begin !== undefined && extent.end !== undefined) parts.push(duration(extent.end - extent.begin));
  return parts.join(", ");
}
