import { expect, test } from "vitest";
import { readTable, type TableNode } from "../src/table";

const text = (nodes: TableNode[]): string =>
  nodes.map(node => (typeof node === "string" ? node : text(node.children))).join("|");
const tags = (nodes: TableNode[]): string[] =>
  nodes.flatMap(node => (typeof node === "string" ? [] : [node.tag, ...tags(node.children)]));

test("a table keeps its structure and loses its attributes", () => {
  const nodes = readTable('<table class="jp-Dialog"><tr><th style="top:0">a</th></tr></table><p>1 row</p>');
  expect(nodes).toEqual([
    { tag: "table", children: [{ tag: "tr", children: [{ tag: "th", children: ["a"] }] }] },
    { tag: "p", children: ["1 row"] },
  ]);
});

test("entities are text, and text is never markup", () => {
  const nodes = readTable("<table><tr><td>&lt;b&gt; &amp;amp; &#39;&#x27;&quot;</td></tr></table>");
  expect(text(nodes)).toBe("<b> &amp; ''\"");
});

test.each([
  ["<script>alert(1)</script>", "alert(1)"],
  ["<img src=x onerror=alert(1)>", ""],
  ["<td><svg/onload=alert(1)>x</svg></td>", "x"],
  ['<td onclick="alert(1)" style="position:fixed">x</td>', "x"],
  ["<iframe srcdoc='<script>alert(1)</script>'></iframe>", ""],
  ["<a href=javascript:alert(1)>x</a>", "x"],
  ["<td<script>x", "x"],
  ["<!-- <td> -->x", "x"],
])("what is not a table's is dropped from %s", (html, shown) => {
  const nodes = readTable(html);
  expect(text(nodes)).toBe(shown);
  expect(tags(nodes).filter(tag => tag !== "td")).toEqual([]);
  expect(JSON.stringify(nodes)).not.toMatch(/onclick|style|href|src/);
});

test("tags that are never closed, or closed twice, stay harmless", () => {
  expect(text(readTable("<table><tr><td>a</table></td></tr>b"))).toBe("a|b");
  expect(tags(readTable("<td>".repeat(1_000)))).toHaveLength(8);
});

test("numbers of entities beyond Unicode are replaced", () => {
  expect(text(readTable("<td>&#9999999;&#0;</td>"))).toBe("\ufffd\ufffd");
});
