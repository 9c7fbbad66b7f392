// HTML tables from the kernel or a saved notebook, read with a grammar of seven bare tags: all else in there is text.

export interface TableElement {
  tag: TableTag;
  children: TableNode[];
}

export type TableNode = string | TableElement;

const TAGS = ["table", "thead", "tbody", "tr", "th", "td", "p"] as const;

export type TableTag = (typeof TAGS)[number];

const TOKEN = /<!--[\s\S]*?-->|<(\/?)([a-zA-Z][a-zA-Z0-9]*)(?:"[^"]*"|'[^']*'|[^'">])*>/g;
const ENTITY = /&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(amp|lt|gt|quot|apos|nbsp));/g;
const NAMED: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };
/** Deeper nesting than a table of ours ever has. */
const DEEPEST = 8;

/**
 * Read `html` into plain nodes. Attributes are dropped: even a class could borrow the looks of the page around. Tags
 * outside the grammar vanish, the text between them stays text, and nothing is ever executed or fetched.
 */
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
      const element = { tag, children: [] };
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

function decode(raw: string): string {
  return raw.replace(ENTITY, (entity, decimal?: string, hexadecimal?: string, name?: string) => {
    if (name !== undefined) return NAMED[name] ?? entity;
    const point = decimal !== undefined ? Number(decimal) : Number.parseInt(hexadecimal ?? "", 16);
    return point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : "\ufffd";
  });
}
