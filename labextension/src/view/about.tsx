// The last panel: what the action is, its attempts, and what its task declares.

import { duration, phaseName } from "../format";
import type { AttemptInfo, Detail } from "../protocol";
import type { Node } from "../store";
import { PhaseIcon } from "./icons";

export function About({ detail, node }: { detail: Detail; node: Node }) {
  const facts: [string, string][] = [
    ["Task", detail.task || (node.row.t ?? node.row.n)],
    ["Action", detail.id || (node.row.id ?? "")],
    ...Object.entries(detail.declarations).map(([name, value]): [string, string] => [name, declared(value)]),
  ];
  return (
    <>
      <dl class="fn-facts">
        {facts
          .filter(([, value]) => value !== "")
          .map(([name, value]) => (
            <div key={name} class="fn-fact">
              <dt>{label(name)}</dt>
              <dd>{value}</dd>
            </div>
          ))}
      </dl>
      {detail.attempts.length > 0 && <Attempts attempts={detail.attempts} />}
    </>
  );
}

function Attempts({ attempts }: { attempts: AttemptInfo[] }) {
  return (
    <>
      <h4 class="fn-heading">Attempts</h4>
      <ol class="fn-attempt-list">
        {attempts.map(attempt => (
          <li key={attempt.number} class="fn-attempt">
            <span class="fn-attempt-number">{attempt.number}</span>
            <PhaseIcon phase={attempt.phase} decorative />
            <span>{phaseName(attempt.phase)}</span>
            <span class="fn-muted">{attempt.ms === undefined ? "" : duration(attempt.ms)}</span>
            <span class="fn-error">{attempt.error}</span>
          </li>
        ))}
      </ol>
    </>
  );
}

/** `max_inline_io_bytes` as `Max inline io bytes`. */
function label(name: string): string {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Nested declarations as `cpu: 2, memory: 1Gi`; deeper than anyone declares, as JSON. */
function declared(value: unknown, depth = 0): string {
  if (value === null || value === undefined) return "";
  if (typeof value !== "object") return String(value);
  if (depth === 3) return JSON.stringify(value);
  if (Array.isArray(value)) return value.map(item => declared(item, depth + 1)).join(", ");
  return Object.entries(value)
    .map(([name, inner]) => [name, declared(inner, depth + 1)])
    .filter(([, text]) => text !== "")
    .map(([name, text]) => `${name}: ${text}`)
    .join(", ");
}
