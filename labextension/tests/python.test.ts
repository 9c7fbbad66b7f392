import { expect, test } from "vitest";
import { tokens } from "../src/python";

const SOURCE = `@env.task(retries=3)
async def clean(x: int = 0x1F) -> str:
    """Not # a comment."""
    if x > 1.5e3:  # but this is
        return f'x="{x}"'
    raise ValueError("unclosed
`;

test("every character of the source is shown, in order", () => {
  expect(
    tokens(SOURCE)
      .map(token => token.text)
      .join(""),
  ).toBe(SOURCE);
});

test("tokens have the kinds that a reader expects", () => {
  const kind = (text: string) => tokens(SOURCE).find(token => token.text === text)?.kind;
  expect(kind("@env.task")).toBe("decorator");
  expect(kind("async")).toBe("keyword");
  expect(kind("clean")).toBe("definition");
  expect(kind("0x1F")).toBe("number");
  expect(kind('"""Not # a comment."""')).toBe("string");
  expect(kind("# but this is")).toBe("comment");
  expect(kind("f'x=\"{x}\"'")).toBe("string");
});
