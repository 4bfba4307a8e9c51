/**
 * The series as CSV: every number of every sample, quoted as RFC 4180 says.
 */
import { expect, test } from "vitest";
import { replayCsv } from "../../src/report/replay-csv.js";
import { EMPTY_REPLAY, EVIL, SAMPLE_REPLAY } from "./sample-replay.js";

/** RFC 4180, read back by its grammar. */
function parse(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  for (let at = 0; at < text.length;) {
    const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y;
    field.lastIndex = at;
    const found = field.exec(text);
    if (found === null) throw new Error(`no CSV at ${at}`);
    row.push(found[1]?.replaceAll('""', '"') ?? found[2]);
    if (found[3] !== ",") {
      rows.push(row);
      row = [];
    }
    at = field.lastIndex;
  }
  return rows;
}

test("a header, then metadata, objects, slab pages and free blocks of every sample", () => {
  const [header, ...rows] = parse(replayCsv(SAMPLE_REPLAY));
  expect(header).toEqual(["design", "seconds", "what", "name", "value"]);
  const perSample = (caches: number): number => 1 + 2 * caches + 11;
  expect(rows).toHaveLength(4 * perSample(0) + 4 * perSample(2));
  expect(rows.every((row) => row.length === 5)).toBe(true);
  expect(rows[0]).toEqual(["today", "0", "metadata_bytes", "", "402653184"]);
  expect(rows).toContainEqual(["slot64", "1", "objects", "folio, second object", "24300"]);
  expect(rows).toContainEqual(["slot64", "2", "slab_pages", "slab", "302"]);
  expect(rows).toContainEqual(["today", "3.500000001", "free_blocks", "order 9", "40"]);
});

test("names hold anything, times have no exponent", () => {
  const [first] = SAMPLE_REPLAY.designs;
  const samples = first.samples.slice(0, 1).map((sample) => ({ ...sample, time: 7 }));
  const text = replayCsv({ ...SAMPLE_REPLAY, designs: [{ ...first, design: EVIL, samples }] });
  expect(parse(text)[1].slice(0, 3)).toEqual([EVIL, "0.000000007", "metadata_bytes"]);
});

test("of no sample there is a header", () => {
  expect(replayCsv(EMPTY_REPLAY)).toBe("design,seconds,what,name,value\r\n");
});
