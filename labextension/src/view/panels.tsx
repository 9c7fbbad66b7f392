// The panels of the details pane. Everything in them came from user code: it is shown as text.

import { plain } from "../format";
import type { Detail, Failure, LogChunk, Phase, Value } from "../protocol";
import { tokens } from "../python";
import { isTerminal } from "../store";
import { readTable, type TableNode } from "../table";

export function ValuesPanel({ detail, phase }: { detail: Detail; phase: Phase }) {
  const { inputs, output, error, reuse } = detail;
  return (
    <>
      {reuse !== null && <p class="fn-muted">{plain(reuse)}</p>}
      <h4 class="fn-heading">Inputs</h4>
      {inputs.length === 0 ? (
        <p class="fn-muted">None</p>
      ) : (
        inputs.map(value => <Shown key={value.name} value={value} />)
      )}
      {error === null && (
        <>
          <h4 class="fn-heading">Output</h4>
          {output === null ? (
            <p class="fn-muted">{isTerminal(phase) ? "None" : "Not there yet"}</p>
          ) : (
            <Shown value={output} />
          )}
        </>
      )}
    </>
  );
}

function Shown({ value }: { value: Value }) {
  return (
    <div class="fn-value">
      <div class="fn-value-name">
        {value.name !== undefined && <span class="fn-argument">{value.name}</span>}
        <span class="fn-type">{value.type}</span>
      </div>
      {value.html === undefined ? (
        <pre class="fn-text">{plain(value.text)}</pre>
      ) : (
        <div class="fn-table">{readTable(value.html).map(renderTable)}</div>
      )}
    </div>
  );
}

function renderTable(node: TableNode, key: number) {
  if (typeof node === "string") return node;
  const Tag = node.tag;
  return <Tag key={key}>{node.children.map(renderTable)}</Tag>;
}

export function ErrorPanel({ error }: { error: Failure }) {
  return (
    <>
      <p class="fn-failure">
        <strong>{error.code}</strong>
        {error.message !== "" && `: ${plain(error.message)}`}
        {error.line !== undefined && <span class="fn-line">line {error.line}</span>}
      </p>
      {error.traceback !== "" && <pre class="fn-text">{plain(error.traceback)}</pre>}
    </>
  );
}

const QUIET_STREAMS = new Set(["stdout", "INFO", "DEBUG"]);

export function LogPanel({ log }: { log: LogChunk[] }) {
  return (
    <pre class="fn-text fn-log">
      {log.map((chunk, index) => {
        const level = /^[A-Z]+$/.test(chunk.stream);
        const text = plain(chunk.text);
        return (
          <span
            key={index}
            class={QUIET_STREAMS.has(chunk.stream) ? "" : `fn-stream-${streamTone(chunk.stream)}`}
          >
            {level && `${chunk.stream}  `}
            {level && !text.endsWith("\n") ? `${text}\n` : text}
          </span>
        );
      })}
    </pre>
  );
}

function streamTone(stream: string): "warning" | "error" {
  return stream === "ERROR" || stream === "CRITICAL" ? "error" : "warning";
}

export function SourcePanel({ source }: { source: string }) {
  return (
    <pre class="fn-text fn-source">
      {tokens(source).map(({ kind, text }, index) => (
        <span key={index} class={`fn-code-${kind}`}>
          {text}
        </span>
      ))}
    </pre>
  );
}

/** No script, no request to anywhere: what the sandbox allows less of, the policy forbids. */
const REPORT_POLICY =
  '<meta http-equiv="Content-Security-Policy" ' +
  "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:\">";

export function ReportPanel({ report }: { report: string }) {
  return <iframe class="fn-report" title="Report" sandbox="" srcdoc={REPORT_POLICY + report} />;
}
