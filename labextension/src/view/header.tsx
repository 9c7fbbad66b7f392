// The line above the tree: which run, where it stands, how long it takes, and Cancel.

import { elapsed, number, phaseName } from "../format";
import type { Link } from "../link";
import type { Header, Phase } from "../protocol";
import type { Resumption } from "../resumption";
import { isTerminal, type RunStore, sum } from "../store";
import { PhaseIcon } from "./icons";
import { Offer } from "./offer";
import { Progress } from "./progress";

const ORDER: readonly Phase[] = ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "RUNNING", "QUEUED"];

const SILENT_MS = 5_000;

interface RunHeaderProps {
  store: RunStore;
  link: Link | null;
  resumption: Resumption | null;
}

export function RunHeader({ store, link, resumption }: RunHeaderProps) {
  const { header, counts } = store;
  const lost = !header.live && !header.ended && link !== null;
  const total = Math.max(header.total, sum(counts));
  return (
    <div class="fn-header">
      <div class="fn-headline">
        <PhaseIcon phase={header.phase} decorative />
        <span class="fn-run" title={header.name}>
          {header.name}
        </span>
        <span class={`fn-word fn-phase-${header.phase}`}>
          {lost ? "Kernel gone" : phaseName(header.phase)}
        </span>
        <Lineage header={header} />
        <Silence ms={store.silence} />
        <span class="fn-counts">
          {ORDER.filter(phase => counts[phase] > 0).map(phase => (
            <Count key={phase} phase={phase} count={counts[phase]} />
          ))}
        </span>
        <span class="fn-elapsed" title="Time since the run started">
          {elapsed(store.now())}
        </span>
        {link !== null && header.live && !isTerminal(header.phase) && <Cancel store={store} link={link} />}
      </div>
      {resumption !== null && <Offer resumption={resumption} />}
      {store.ticking && <Progress counts={counts} total={total} />}
      <RunError store={store} />
    </div>
  );
}

function Lineage({ header }: { header: Header }) {
  if (header.resumed_from === undefined) return null;
  const label = `resumes ${header.resumed_from} · ${number(header.recovered ?? 0)} recovered`;
  return (
    <span class="fn-lineage" title={label}>
      {label}
    </span>
  );
}

/** The kernel sends something every second: when it does not, its process is blocked, or gone without a word. */
function Silence({ ms }: { ms: number }) {
  if (ms < SILENT_MS) return null;
  return (
    <span
      class="fn-silence"
      title="The kernel is blocked by code that holds it, or the connection to it is lost"
    >
      no news for {Math.floor(ms / 1000)} s
    </span>
  );
}

function Count({ phase, count }: { phase: Phase; count: number }) {
  const label = `${number(count)} ${phaseName(phase).toLowerCase()}`;
  return (
    <span class="fn-count" title={label}>
      <PhaseIcon phase={phase} />
      {number(count)}
    </span>
  );
}

function Cancel({ store, link }: { store: RunStore; link: Link }) {
  return (
    <button
      type="button"
      class="fn-button fn-cancel"
      disabled={store.cancelling}
      title="Stop this run: what is unfinished is cancelled, what has finished stays on record"
      onClick={() => link.cancel()}
    >
      {store.cancelling ? "Cancelling…" : "Cancel"}
    </button>
  );
}

/** The run's error, unless a root action already shows it: a cell may fail outside its tasks. */
function RunError({ store }: { store: RunStore }) {
  const { error, ended } = store.header;
  if (error === null || !ended || store.roots.some(root => isSame(error, root.row.x))) return null;
  return <div class="fn-run-error">{error}</div>;
}

/** Whether a row's error is the run's: the class may differ, as a run reports what its cell was given. */
function isSame(error: string, shown: string | undefined): boolean {
  const message = (text: string) => text.replace(/^[\w.]+: /, "").replace(/…$/, "");
  return shown !== undefined && message(error).startsWith(message(shown));
}
