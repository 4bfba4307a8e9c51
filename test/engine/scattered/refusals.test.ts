/** Which combinations of object, lookup and home of node and zone there are, and why there are no others. */
import { describe, expect, test } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { scatteredMatrix } from "../../../src/engine/design/scattered-matrix.js";

describe("refused with the reason", () => {
  test.each([
    ["memdesc8+scattered=none+scattered-lookup=word", /there is no object to find/],
    [
      "today+scattered=scamem+scattered-lookup=none",
      /has to be found by whoever gives a reference/,
    ],
    ["memdesc8+scattered=per-page", /no room for a reference and a map count/],
    ["today+scattered-lookup=slot", /the counts are in the page/],
    ["today+scattered=none+scattered-release=page", /there is no GUP/],
    [
      "memdesc8+scattered-lookup=vma-private+scattered-release=page",
      /a release has only the page, which does not lead to the object; pins must carry it/,
    ],
    ["memdesc16+scattered-lookup=file-private+scattered-release=page", /pins must carry it/],
    ["memdesc8+scattered-release=carried", /the page leads to its object/],
    ["memdesc8+scattered-nid=word", /no room for a pointer and for node and zone/],
    ["memdesc8+scattered-lookup=slot+scattered-nid=word", /no room for a pointer/],
    ["page32+scattered=scamem+scattered-nid=rebuilt", /in every page's own flags/],
    ["today+scattered=scamem+scattered-lookup=slot+scattered-nid=flags", /own flags/],
    ["memdesc16+scattered-nid=flags", /flags\[\] needs the page's index/],
    [
      "memdesc8+scattered-lookup=vma-private+scattered-nid=rebuilt",
      /leaves node and zone in the word/,
    ],
    ["memdesc16+scattered=per-page+scattered-nid=rebuilt", /leaves node and zone in the word/],
    ["memdesc8+scattered=both", /scattered is one of none, per-page, vm-struct, scamem/],
  ])("%s", (design, reason) => {
    expect(() => parseDesign(design)).toThrow(reason);
  });
});

test("every combination is legal or refused, and each refusal has a reason of its own", () => {
  const counts = Object.fromEntries(
    ["today", "page32", "slot64", "memdesc16", "memdesc8"].map((preset) => {
      const { legal, refused } = scatteredMatrix(preset);
      expect(legal.length + refused.length).toBe(4 * 6 * 3);
      for (const { reason } of refused) expect(reason).toMatch(/^(scattered|page|slot64)[^:]*: .+/);
      return [preset, legal.length];
    }),
  );
  expect(counts).toEqual({ today: 12, page32: 12, slot64: 12, memdesc16: 18, memdesc8: 13 });
});

describe("names", () => {
  test("what follows is not said, and a name reads back as itself", () => {
    for (const preset of ["today", "page32", "memdesc16", "memdesc8", "slot64"]) {
      for (const design of scatteredMatrix(preset).legal) {
        const again = parseDesign(design.name);
        expect(again.name).toBe(design.name);
        expect(again).toEqual(design);
      }
    }
  });

  test.each([
    ["memdesc8+scattered=scamem+scattered-lookup=word+scattered-nid=rebuilt", "memdesc8"],
    ["memdesc8+scattered-lookup=slot", "memdesc8+scattered-lookup=slot"],
    [
      "memdesc8+scattered-lookup=vma-private+scattered-nid=word+scattered-release=carried",
      "memdesc8+scattered-lookup=vma-private",
    ],
    ["today+scattered=per-page+scattered-release=page", "today"],
    ["page32+types=page32+scattered=none", "page32+scattered=none"],
  ])("%s is %s", (text, name) => {
    expect(parseDesign(text).name).toBe(name);
  });
});

test("the presets: 6.18 counts pages, the small words have a scamem", () => {
  const of = (preset: string): string[] => {
    const d = parseDesign(preset);
    return [d.scattered, d.scatteredLookup, d.scatteredNid];
  };
  expect(of("today")).toEqual(["per-page", "word", "word"]);
  expect(of("page32")).toEqual(["per-page", "word", "word"]);
  expect(of("memdesc16")).toEqual(["scamem", "word", "word"]);
  expect(of("memdesc8")).toEqual(["scamem", "word", "rebuilt"]);
});
