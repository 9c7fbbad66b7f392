// HTML tables from the kernel or a saved notebook, read with a grammar of seven tags: whatever else is in there stays text.

export interface TableElement {
  tag: TableTag;
  className: string;
  colSpan: number;
  children: TableNode[];
}

export type TableNode = string | TableElement;

const TAGS = ["table", "thead", "tbody", "tr", "th", "td", "div", "span"] as const;

export type TableTag = (typeof TAGS)[number];

/** Classes that our table writer uses; any other name could borrow the looks of the page around. */
const CLASSES = new Set(["dataframe", "index", "number", "text", "more", "null"]);

const TOKEN = /<!--[\s\S]*?-->|<(\/?)([a-zA-Z][a-zA-Z0-9]*)((?:"[^"]*"|'[^']*'|[^'">])*)>/g;
const ATTRIBUTE = /([a-zA-Z-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;
const ENTITY = /&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(amp|lt|gt|quot|apos|nbsp));/g;
const NAMED: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };
/** Deeper nesting than a table of ours ever has. */
const DEEPEST = 12;

/** Read `html` into plain nodes. Tags outside the grammar vanish, their text remains as text; nothing is ever executed. */
export function readTable(html: string): TableNode[] {
  const root: TableNode[] = [];
  const open: TableElement[] = [];
  const add = (node: TableNode) => (open.at(-1)?.children ?? root).push(node);
  const addText = (raw: string) => {
    // Between the cells of a table, white space is layout of the source.
    if (raw.trim() !== "") add(decode(raw));
  };
  let from = 0;
  for (const token of html.matchAll(TOKEN)) {
    addText(html.slice(from, token.index));
    from = token.index + token[0].length;
    const tag = TAGS.find(known => known === token[2]?.toLowerCase());
    if (tag === undefined) continue;
    if (token[1] === "/") {
      closeTag(open, tag);
    } else if (open.length < DEEPEST) {
      const element = { tag, ...readAttributes(token[3] ?? ""), children: [] };
      add(element);
      open.push(element);
    }
  }
  addText(html.slice(from));
  return root;
}

function closeTag(open: TableElement[], tag: TableTag): void {
  const depth = open.map(element => element.tag).lastIndexOf(tag);
  if (depth >= 0) open.length = depth;
}

function readAttributes(source: string): { className: string; colSpan: number } {
  const read = { className: "", colSpan: 1 };
  for (const [, name, quoted, apostrophed] of source.matchAll(ATTRIBUTE)) {
    const value = quoted ?? apostrophed ?? "";
    if (name?.toLowerCase() === "class") {
      const known = value.split(/\s+/).filter(part => CLASSES.has(part));
      read.className = known.map(part => `fn-table-${part}`).join(" ");
    } else if (name?.toLowerCase() === "colspan" && /^\d{1,3}$/.test(value)) {
      read.colSpan = Math.max(1, Number(value));
    }
  }
  return read;
}

function decode(raw: string): string {
  return raw.replace(ENTITY, (entity, decimal?: string, hexadecimal?: string, name?: string) => {
    if (name !== undefined) return NAMED[name] ?? entity;
    const point = decimal !== undefined ? Number(decimal) : Number.parseInt(hexadecimal ?? "", 16);
    return point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : "\ufffd";
  });
}
