// Python source cut into tokens worth a colour: enough for reading, not a parser.

export type TokenKind = "keyword" | "string" | "comment" | "number" | "decorator" | "definition" | "plain";

export interface Token {
  kind: TokenKind;
  text: string;
}

const KEYWORDS =
  "False|None|True|and|as|assert|async|await|break|class|continue|def|del|elif|else|except|finally|for|from|" +
  "global|if|import|in|is|lambda|nonlocal|not|or|pass|raise|return|try|while|with|yield";

const PATTERN = new RegExp(
  [
    /(?<comment>#[^\n]*)/.source,
    /(?<string>\b[rRbBfFuUtT]{0,2}(?:"""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)|"""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)/
      .source,
    /(?<decorator>(?<=^[ \t]*)@[\w.]+)/.source,
    /(?<definition>(?<=\b(?:def|class)[ \t]+)\w+)/.source,
    `(?<keyword>\\b(?:${KEYWORDS})\\b(?!\\s*=[^=]))`,
    /(?<number>\b(?:0[xXoObB][\da-fA-F_]+|\d[\d_]*\.?[\d_]*(?:[eE][+-]?\d+)?j?)\b)/.source,
  ].join("|"),
  "gm",
);

export function tokens(source: string): Token[] {
  const found: Token[] = [];
  let from = 0;
  for (const match of source.matchAll(PATTERN)) {
    if (match.index > from) found.push({ kind: "plain", text: source.slice(from, match.index) });
    const kind = Object.entries(match.groups ?? {}).find(([, text]) => text !== undefined)?.[0] as TokenKind;
    found.push({ kind, text: match[0] });
    from = match.index + match[0].length;
  }
  if (from < source.length) found.push({ kind: "plain", text: source.slice(from) });
  return found;
}
