/**
 * A page told bit by bit: the fields of a word are the word, put together again;
 * what the source says and what the designs answer is about the same page.
 */
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { DEFAULT_DESIGNS } from "../../src/engine/design/default-designs.js";
import { classify } from "../../src/observe/classify/classify.js";
import { kindId, type Kind } from "../../src/observe/kinds.js";
import type { Classification } from "../../src/observe/objects.js";
import type { Snapshot } from "../../src/observe/snapshot.js";
import { openSource } from "../../src/observe/source.node.js";
import { pageInDesign } from "../../src/report/build-page-design.js";
import type { PageField, PageInDesign } from "../../src/report/page-model.js";
import { FIXTURES } from "../observe/helpers.js";

let snapshot: Snapshot;
let classification: Classification;
beforeAll(async () => {
  snapshot = await openSource(join(FIXTURES, "guest-6.12"));
  classification = classify(snapshot);
});

/** A page of the kind; `within` pages into the first object that has that many. */
function pageOf(kind: Kind, within = 0): number {
  const { objects } = classification;
  for (let i = 0; i < objects.length; i++) {
    const large = objects.pages[i] > within;
    if (objects.kind[i] === kindId(kind) && large && objects.start[i] > 4096)
      return objects.start[i] + within;
  }
  throw new Error(`no page is ${kind}`);
}

/** The 64 bits that the fields come to. */
function together(fields: readonly PageField[]): bigint {
  return fields.reduce(
    (sum, f) => sum | (BigInt.asUintN(f.width, BigInt(f.value)) << BigInt(f.offset)),
    0n,
  );
}

const PAGES: readonly (readonly [Kind, number])[] = [
  ["file", 0],
  ["shmem", 0],
  ["anon", 0],
  ["anon", 3],
  ["hugetlb", 5],
  ["slab", 1],
  ["page-table", 0],
  ["kernel", 0],
];

describe.each(DEFAULT_DESIGNS)("%s", (design) => {
  const tell = (pfn: number): PageInDesign => pageInDesign(snapshot, classification, design, pfn);

  test.each(PAGES)(
    "the fields of a word of a page of kind %s (page %i of it) are the word",
    (kind, within) => {
      const { words } = tell(pageOf(kind, within));
      for (const word of words) {
        // Pointers to descriptors are shown as addresses, the tag cut off.
        const fields = word.fields.map((f) =>
          f.name === "descriptor" ? { ...f, offset: 0, width: 64 } : f,
        );
        expect(fields.length === 0 || together(fields) === BigInt(word.value)).toBe(true);
      }
      expect(words.length).toBeGreaterThan(0);
    },
  );

  test("what it is and where its block lies is answered alike in every design", () => {
    const answer = (page: PageInDesign, question: string) =>
      page.answers.find((a) => a.question === question)?.answer;
    const thp = tell(pageOf("anon", 3));
    expect(answer(thp, "what is it?")).toBe("anon");
    expect(answer(thp, "which block?")).toMatch(/^order 9 from frame /);
    expect(answer(thp, "where?")).toBe("node 0, zone DMA32");
  });
});

test("memdesc8 refuses what its word cannot say, today answers it", () => {
  const pfn = pageOf("anon", 3);
  const questions = (design: string) =>
    pageInDesign(snapshot, classification, design, pfn).refused.map((r) => r.question);
  expect(questions("memdesc8")).toEqual([
    "is it the first page?",
    "how often is this very page mapped?",
  ]);
  expect(questions("today")).toEqual([]);
});
