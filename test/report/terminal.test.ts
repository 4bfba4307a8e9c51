/**
 * The terminal report: 80 columns at any size of machine, colour only on
 * demand, nothing from outside moves the cursor, bars as wide as shares.
 */
import { describe, expect, it } from "vitest";
import { bar } from "../../src/report/bars.js";
import { renderPage } from "../../src/report/terminal-page.js";
import type { PageReport } from "../../src/report/page-model.js";
import { renderCosts, renderKinds, renderTerminal } from "../../src/report/terminal.js";
import { textWidth, wrap } from "../../src/report/table.js";
import { SAMPLE } from "./sample-report.js";

const plain = { color: false, explain: false };
const tooWide = (text: string): string[] => text.split("\n").filter((line) => textWidth(line) > 80);

describe("the report of a terabyte machine", () => {
  it.each([
    ["plain", plain],
    ["explained", { color: false, explain: true }],
    ["coloured", { color: true, explain: true }],
  ])("fits into 80 columns, %s", (_name, options) => {
    expect(tooWide(renderTerminal(SAMPLE, options))).toEqual([]);
  });

  it("has the same text with and without colour", () => {
    // oxlint-disable-next-line no-control-regex -- colour codes start with ESC
    const codes = /\u001b\[[0-9;]*m/g;
    const coloured = renderTerminal(SAMPLE, { color: true, explain: true });
    expect(coloured).toMatch(codes);
    expect(coloured.replace(codes, "")).toBe(
      renderTerminal(SAMPLE, { color: false, explain: true }),
    );
  });

  it("says what a kernel developer looks for first, in this order", () => {
    const text = renderTerminal(SAMPLE, plain);
    const places = [
      "Linux 6.18.44",
      "WHAT THE PAGES ARE",
      "WHAT DESCRIBING THEM COSTS",
      "DESCRIPTORS",
      "BYTES PER FOLIO",
      "AGAINST /proc",
      "VMEMMAP",
      "A DEVICE OF",
      "NOTES",
    ].map((heading) => text.indexOf(heading));
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(places[0]).toBe(0);
  });

  it("is the kinds followed by the costs, so that the first can be printed early", () => {
    const parts = renderKinds(SAMPLE, plain) + renderCosts(SAMPLE, plain);
    expect(parts).toBe(renderTerminal(SAMPLE, plain));
  });

  it("leaves out kinds without pages and marks assumed sizes with their band", () => {
    const text = renderTerminal(SAMPLE, plain);
    expect(text).not.toMatch(/^shmem/m);
    expect(text).toMatch(/anon-folio \*/);
    expect(text).toMatch(/\* size assumed/);
    expect(text).toContain("64/80/96/128 B");
  });

  it("folds free blocks into the worst order, and unfolds them when explained", () => {
    expect(renderTerminal(SAMPLE, plain).match(/free blocks, order/g)).toHaveLength(1);
    expect(renderTerminal(SAMPLE, plain)).toMatch(/free blocks, order 10 .*\+10/);
    const all = renderTerminal(SAMPLE, { color: false, explain: true });
    expect(all.match(/free blocks, order/g)).toHaveLength(11);
    expect(all).toContain("268,435,456 frames × 64 B");
  });

  it("shows a failed round trip with its page", () => {
    const text = renderTerminal(SAMPLE, plain);
    expect(text).toMatch(/memdesc8: round trip of .* 1 DIFFERENCE/);
    expect(text).toContain("pfn 77 kpageflags: expected lru,mlocked, got lru");
  });

  it("shows a device under every name and record, and the other page words in a line each", () => {
    const text = renderTerminal(SAMPLE, plain);
    const lines = text.slice(text.indexOf("A DEVICE OF 1.00 TiB")).split("\n");
    expect(lines.slice(1, 8).map((line) => line.split(/ +/).slice(0, 2).join(" "))).toEqual([
      "physical page",
      "offset page",
      "tuple page",
      "offset folio",
      "tuple folio",
      "offset device-private",
      "tuple device-private",
    ]);
    expect(lines[1]).toMatch(/ –$/);
    const words = lines.indexOf(lines.find((line) => line.startsWith("ON OTHER PAGE WORDS")) ?? "");
    expect(lines[words + 1]).toMatch(/^memdesc8 .*\+1\.00 MiB .* 1\.09 GiB −1\.00 MiB$/);
    expect(lines[words + 2]).toBe("today+separated=page-table/zpdesc/slab");
    expect(text).toMatch(/1\.00 GiB of it built/);
    expect(text).toContain("no folio, device-private with name physical: a pfn leads to a struct");
  });

  it("says nothing of a device where none was asked for", () => {
    expect(renderTerminal({ ...SAMPLE, device: null }, plain)).not.toContain("DEVICE");
  });

  it("says plainly that a bundled snapshot is not this machine", () => {
    const bundled = {
      ...SAMPLE,
      machine: { ...SAMPLE.machine, origin: "bundled" as const, label: "a snapshot" },
    };
    expect(renderKinds(bundled, plain)).toContain("NOT this machine");
  });

  it("replaces control characters of names and notes", () => {
    const evil = "a\u001b[2Jb\nc";
    const text = renderTerminal(
      {
        ...SAMPLE,
        machine: { ...SAMPLE.machine, label: evil, kernel: evil },
        notes: [{ subject: evil, text: evil }],
      },
      plain,
    );
    expect(text).not.toContain("\u001b");
    expect(text).not.toContain("a\nc");
  });
});

describe("bars", () => {
  it("are made of eighths of a column, and never vanish for something", () => {
    expect(bar(1, 8)).toBe("████████");
    expect(bar(0.5, 8)).toBe("████");
    expect(bar(1 / 64, 8)).toBe("▏");
    expect(bar(1e-9, 8)).toBe("▏");
    expect(bar(0, 8)).toBe("");
    expect(bar(7 / 64, 8)).toBe("▉");
    expect(bar(9 / 64, 8)).toBe("█▏");
  });
});

describe("wrapping", () => {
  it("breaks at blanks only and indents what follows", () => {
    expect(wrap("aa bb cc", "", "  ", 5)).toEqual(["aa bb", "  cc"]);
    expect(wrap("a".repeat(90))).toEqual(["a".repeat(90)]);
    expect(wrap("x ".repeat(100).trim()).every((line) => textWidth(line) <= 80)).toBe(true);
  });
});

describe("a page", () => {
  const field = { name: "type", offset: 0, width: 4, value: "2", meaning: "File" };
  const page: PageReport = {
    schema: "memdesc/page/1",
    source: "x",
    pfn: 4711,
    kind: "file",
    flags: ["uptodate", "lru", "bit 50"],
    flagsWord: "0x0004000000000028",
    mapcount: null,
    cgroup: 77,
    zone: "DMA32",
    node: 0,
    object: { start: 4708, pages: 4, order: 2 },
    designs: [
      {
        design: "memdesc8",
        words: [{ address: "0x9338", value: "0x0000000000012342", fields: [field] }],
        descriptor: {
          type: "folio",
          address: "0x12340",
          size: 88,
          fields: [
            { name: "refcount", offset: 384, width: 32, value: "1", meaning: "w ".repeat(60) },
          ],
        },
        answers: [{ question: "Which order?", answer: "2" }],
        refused: [{ question: "Is this the first page?", reason: "PG_head is gone" }],
      },
    ],
    notes: [],
  };

  it("is shown with its place in its object, bits of words and bytes of descriptors", () => {
    const text = renderPage(page, { color: false });
    expect(tooWide(text)).toEqual([]);
    expect(text).toContain("pfn 4711 (0x1267) · file");
    expect(text).toContain("4 pages from pfn 4708 (order 2), this is page 3 of it");
    expect(text).toMatch(/mapped +unknown/);
    expect(text).toMatch(/0–3 +type +2 +File/);
    expect(text).toMatch(/\+48 +refcount/);
    expect(text).toContain("Is this the first page? cannot be answered: PG_head is gone");
  });
});
