/**
 * docs/device-names.md shows what the engine has: its list of conversion sites is that of
 * the source, its figures are counted anew.
 *
 * `MEMDESC_WRITE_DOCS=1 npx vitest run test/engine/device/names-doc.test.ts` writes the
 * tables between their markers; without that an old table fails.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { KERNEL } from "./conversion-kernel.js";
import { sitesOf } from "./conversion-sites.js";
import {
  bitsTable,
  costsTable,
  driverSites,
  loadsTable,
  recordsTable,
  sitesTable,
} from "./names-tables.js";

const PAGE = fileURLToPath(new URL("../../../docs/device-names.md", import.meta.url));

const TABLES: Readonly<Record<string, () => string>> = {
  "process sites": () => sitesTable("process"),
  "device sites": () => sitesTable("device"),
  "driver sites": driverSites,
  loads: loadsTable,
  bits: bitsTable,
  costs: costsTable,
  records: recordsTable,
};

const begin = (name: string): string => `<!-- ${name}: by test/engine/device/names-doc.test.ts -->`;
const END = "<!-- end -->";

/** The part of the page between a table's markers. */
function shown(text: string, name: string): { from: number; to: number } {
  const at = text.indexOf(begin(name));
  const from = at + begin(name).length;
  const to = text.indexOf(END, from);
  if (at < 0 || to < 0) throw new Error(`docs/device-names.md has lost its markers of ${name}`);
  return { from, to };
}

describe("docs/device-names.md", () => {
  it.each(Object.keys(TABLES))("%s are what they are", (name) => {
    const text = readFileSync(PAGE, "utf8");
    const { from, to } = shown(text, name);
    const must = `\n\n${TABLES[name]()}\n\n`;
    const write = process.env["MEMDESC_WRITE_DOCS"] === "1";
    if (write) writeFileSync(PAGE, text.slice(0, from) + must + text.slice(to));
    expect(write ? must : text.slice(from, to)).toBe(must);
  });

  it("names the kernel's function for every site, and no site that is not there", () => {
    const names = [...sitesOf("process"), ...sitesOf("device")].map((s) => s.name);
    expect(Object.keys(KERNEL).toSorted()).toEqual(names.toSorted());
  });
});
