/**
 * Ring buffers made by hand: every kind of event header, what forms make of fields, the
 * order of several processors, lost events, and which format files are taken.
 */
import { describe, expect, it } from "vitest";
import {
  EV_FAULT_USER,
  EV_FREE,
  EV_LOST,
  EV_RSS_STAT,
  EV_SET_MIGRATION,
} from "../../src/trace/events.js";
import { parseEventFormat, parsePageHeader } from "../../src/trace/ring/event-format.js";
import { frameOfPte } from "../../src/trace/ring/read-column.js";
import { parseRingStats } from "../../src/trace/ring/stats.js";
import { refusal, refusalOf } from "../observe/helpers.js";
import {
  cpuOf,
  FAULT_ID,
  filesOf,
  FORMATS,
  formatText,
  FREE_ID,
  joined,
  MadePage,
  openMade,
  RSS_ID,
  rowsOf,
  SET_PTE_ID,
} from "./ring-pages.js";

const rowsOfPages = async (...pages: MadePage[]) =>
  rowsOf(await openMade([cpuOf(0, joined(...pages))]));

describe("format files", () => {
  it("gives id, fields and the end of the last", () => {
    const format = parseEventFormat(FORMATS.get("kmem.rss_stat.format") ?? "", "f");
    expect(format).toMatchObject({ name: "rss_stat", id: RSS_ID, end: 32, open: false });
    expect(format.fields.get("size")).toMatchObject({ offset: 24, size: 8, signed: true });
    expect([...format.fields.keys()].slice(0, 2)).toEqual(["common_type", "common_flags"]);
  });

  it("knows arrays and variable parts, and fields whose type has spaces and stars", () => {
    const format = parseEventFormat(
      formatText("any", 5, [
        { type: "const struct page_pool *", name: "pool", offset: 8, size: 8 },
        { type: "__data_loc char[]", name: "name", offset: 16, size: 4 },
        { type: "char", name: "comm[16]", offset: 20, size: 16 },
      ]),
      "f",
    );
    expect(format.fields.get("pool")).toMatchObject({ array: false });
    expect(format.fields.get("name")).toMatchObject({ array: true });
    expect(format.fields.get("comm")).toMatchObject({ array: true, size: 16 });
    expect(format.open).toBe(true);
  });

  it("refuses what is none, by file and line", () => {
    expect(refusal(() => parseEventFormat("hello", "a/b")).message).toMatch(
      /^a\/b: no line.*name:/,
    );
    expect(refusal(() => parseEventFormat("name: x\nID: 0\n", "f")).message).toMatch(/ID 0/);
    const bad = refusal(() => parseEventFormat("name: x\nID: 9\n\tfield:int;\n", "f"));
    expect(bad.line).toBe(3);
  });

  it("reads larger sub-buffers, and refuses a header that is no layout", () => {
    const text = (data: string): string =>
      `\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n\tfield: char data;\t${data};\tsigned:0;\n`;
    expect(parsePageHeader(text("offset:16;\tsize:16368"), "h").dataSize).toBe(16_368);
    expect(refusal(() => parsePageHeader(text("offset:4;\tsize:4080"), "h")).message).toMatch(
      /no layout/,
    );
    expect(refusal(() => parsePageHeader("", "h")).message).toMatch(/no field timestamp/);
  });

  it("reads the kernel's counts", () => {
    const text =
      "entries: 12\noverrun: 3\ncommit overrun: 1\nbytes: 480\noldest event ts:  1111.954264\ndropped events: 2\n";
    expect(parseRingStats(text)).toEqual({ entries: 12, readEvents: 0, lost: 6, bytes: 480 });
    expect(parseRingStats("nothing")).toBeNull();
  });
});

describe("events of a sub-buffer", () => {
  it("reads lengths in the type and in a word, and adds up times", async () => {
    const page = new MadePage(1_000n)
      .free(0x1234, 3, 0)
      .event(FREE_ID, 8, 5, [0x10, 1, 0, 0], true)
      .free(0x77, 0, 10);
    const rows = await rowsOfPages(page);
    expect(rows).toEqual([
      { time: 1000, kind: EV_FREE, cpu: 0, pid: 7, x: 0x1234, a: 3, b: 0, c: 0 },
      { time: 1005, kind: EV_FREE, cpu: 0, pid: 8, x: 2 ** 32 + 0x10, a: 0, b: 0, c: 0 },
      { time: 1015, kind: EV_FREE, cpu: 0, pid: 7, x: 0x77, a: 0, b: 0, c: 0 },
    ]);
  });

  it("adds a time extend, and takes an absolute time with the sub-buffer's high bits", async () => {
    const high = 3n << 59n;
    const rows = await rowsOfPages(
      new MadePage(100n).head(30, 7).word(2).free(1, 0, 1),
      new MadePage(2n ** 30n).head(31, 9).word(16).free(2, 0, 1),
      new MadePage(high + 64n).head(31, 0).word(1).free(3, 0, 0),
    );
    expect(rows.map((r) => r.time)).toEqual([
      100 + 2 * 2 ** 27 + 7 + 1,
      16 * 2 ** 27 + 10,
      Number(high) + 2 ** 27,
    ]);
  });

  it("passes over events taken back without their time, and ends at padding", async () => {
    const page = new MadePage(0n).free(1, 0, 1).head(29, 50).word(12).word(0).word(0).free(2, 0, 1);
    page.head(29, 0).word(0).word(99);
    expect((await rowsOfPages(page)).map((r) => [r.time, r.x])).toEqual([
      [1, 1],
      [2, 2],
    ]);
  });

  it("gives addresses as pages, sizes with their sign, and the frame of a migration entry", async () => {
    const page = new MadePage(0n)
      .event(FAULT_ID, 1, 1, [0x89b7e9c0, 0x558e, 0, 0, 7, 0])
      .event(RSS_ID, 1, 1, [0xa5555555, 1, 1, 0, 0xfffff000, 0xffffffff])
      .event(SET_PTE_ID, 1, 1, [0, 0x7000, 0xdf478602, 0xdfffffff, 0, 0]);
    const rows = await rowsOfPages(page);
    expect(rows[0]).toMatchObject({ kind: EV_FAULT_USER, x: 0x558e89b7e, a: 7 });
    expect(rows[1]).toMatchObject({ kind: EV_RSS_STAT, x: -4096, a: 0xa5555555 | 0, b: 1, c: 1 });
    // The pair as it was printed when the event was proposed: old_pfn=0x105c3c.
    expect(rows[2]).toMatchObject({ kind: EV_SET_MIGRATION, x: 0x105c3c });
  });

  it("gives no frame where an allocation failed, as text does", async () => {
    const page = new MadePage(0n)
      .event(FREE_ID, 7, 1, [0xffff_ffff, 0xffff_ffff, 9, 0])
      .event(FREE_ID, 7, 1, [0xffff_ffff, 0, 9, 0]);
    const rows = await rowsOfPages(page);
    expect(rows.map((r) => r.x)).toEqual([-1, 0xffff_ffff]);
    const narrow = formatText("mm_page_free", FREE_ID, [
      { type: "unsigned long", name: "pfn", offset: 8, size: 4 },
      { type: "unsigned int", name: "order", offset: 12, size: 4 },
    ]);
    const files = filesOf(new Map([["kmem.mm_page_free.format", narrow]]));
    const source = await openMade(
      [cpuOf(0, new MadePage(0n).event(FREE_ID, 7, 1, [0xffff_ffff, 9]).bytes)],
      [files],
    );
    expect((await rowsOf(source))[0]).toMatchObject({ x: -1, a: 9 });
  });

  it("tells present, inverted and empty page-table entries apart", () => {
    expect(frameOfPte(0x12345067 | 0, 0x8000_0001 | 0)).toBe(0x112345);
    expect(frameOfPte(~0x12345fff | 0x166, ~1)).toBe(0x112345);
    expect(frameOfPte(0, 0)).toBe(-1);
    // Young and dirty stand above the frame and are no part of it.
    expect(frameOfPte(0xdf478602 | 0, (0xdfffffff & ~(3 << 11)) | 0)).toBe(0x105c3c);
  });

  it("reads sub-buffers of another size", async () => {
    const header =
      "\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n\tfield: char data;\toffset:16;\tsize:8176;\tsigned:0;\n";
    const pages = [new MadePage(1n, 8192), new MadePage(1_000_000n, 8192)];
    for (let i = 0; i < 250; i++) for (const p of pages) p.free(i, 0, 1);
    const files = filesOf(new Map([...FORMATS, ["header_page", header]]));
    const source = await openMade([cpuOf(0, joined(...pages))], [files]);
    expect(await rowsOf(source)).toHaveLength(500);
    expect(source.damage).toBeNull();
  });
});

describe("lost events", () => {
  it("makes a row of what the ring says, and sums it by processor", async () => {
    const source = await openMade([
      cpuOf(0, joined(new MadePage(10n).free(1, 0, 0), new MadePage(20n).free(2, 0, 0).missed(41))),
      cpuOf(2, joined(new MadePage(15n).free(3, 0, 0).missed(null))),
    ]);
    const rows = await rowsOf(source);
    expect(rows.map((r) => [r.time, r.kind, r.cpu, r.x])).toEqual([
      [10, EV_FREE, 0, 1],
      [15, EV_LOST, 2, -1],
      [15, EV_FREE, 2, 3],
      [20, EV_LOST, 0, 41],
      [20, EV_FREE, 0, 2],
    ]);
    expect(source.lost).toEqual([41, 0, -1]);
  });

  it("takes the kernel's count where it has one", async () => {
    const stats = { entries: 1, readEvents: 0, lost: 9, bytes: 0 };
    const source = await openMade([cpuOf(0, joined(new MadePage(1n).free(1, 0, 0)), stats)]);
    await rowsOf(source);
    expect(source.lost).toEqual([9]);
  });
});

describe("several processors", () => {
  it("orders by time and then by processor, whatever the size of a batch", async () => {
    const lanes = [0, 1, 2, 3, 4].map((cpu) => {
      const pages = [new MadePage(BigInt(cpu % 2)), new MadePage(3_000n), new MadePage(3_000n)];
      for (const [k, p] of pages.entries())
        for (let i = 0; i < 40 + cpu; i++) p.free(1000 * cpu + i, 0, (i * (cpu + 3) + k) % 5);
      return () => cpuOf(cpu, joined(...pages));
    });
    const all = await rowsOf(await openMade(lanes.map((l) => l())), 1);
    expect(all).toHaveLength(3 * 5 * 42);
    for (let i = 1; i < all.length; i++) {
      const before = all[i - 1];
      const row = all[i];
      expect(before.time < row.time || (before.time === row.time && before.cpu <= row.cpu)).toBe(
        true,
      );
    }
    for (const capacity of [2, 7, 4096])
      expect(await rowsOf(await openMade(lanes.map((l) => l())), capacity)).toEqual(all);
  });

  it("raises a time that goes back a little, and says so", async () => {
    const source = await openMade([
      cpuOf(0, joined(new MadePage(100n).free(1, 0, 0), new MadePage(90n).free(2, 0, 0))),
    ]);
    expect((await rowsOf(source)).map((r) => r.time)).toEqual([100, 100]);
    expect(source.notes.map((n) => n.text).join()).toMatch(/1 events had a time before/);
  });
});

describe("which format files", () => {
  const page = (): Uint8Array =>
    joined(new MadePage(1n).free(1, 0, 0).event(FAULT_ID, 1, 1, [0, 0, 0, 0, 0, 0]));
  const shifted = new Map([
    [
      "kmem.mm_page_free.format",
      formatText("mm_page_free", FAULT_ID, [
        { type: "unsigned long", name: "pfn", offset: 8, size: 8 },
      ]),
    ],
  ]);

  it("takes the set whose ids and lengths occur", async () => {
    const source = await openMade(
      [cpuOf(0, page())],
      [filesOf(), filesOf(shifted, "formats/other")],
    );
    expect(source.notes[0]).toMatchObject({ subject: "formats" });
    expect(source.notes[0].text).toMatch(/formats\/made/);
    expect(await rowsOf(source)).toHaveLength(2);
  });

  it("refuses a trace of which no event has a format", async () => {
    const strange = joined(new MadePage(1n).event(9999, 1, 1, [1, 2]));
    const error = await refusalOf(openMade([cpuOf(0, strange)]));
    expect(error.message).toMatch(/no event of the trace has a format/);
  });

  it("counts events that are not read, by name where a format has it", async () => {
    const files = new Map([...FORMATS, ["vmscan.x.format", formatText("mm_other", 77, [])]]);
    const bytes = joined(
      new MadePage(1n).free(1, 0, 0).event(77, 1, 1, []).event(77, 1, 1, []).event(5, 1, 1, [3]),
    );
    const source = await openMade([cpuOf(0, bytes)], [filesOf(files)]);
    await rowsOf(source);
    expect(source.others).toEqual(
      new Map([
        ["event 5", 1],
        ["mm_other", 2],
      ]),
    );
  });

  it("says which column has no field, and leaves an event without a frame out", async () => {
    const pfn = { type: "unsigned long", name: "pfn", offset: 8, size: 8 };
    const files = new Map([
      ["kmem.mm_page_free.format", formatText("mm_page_free", FREE_ID, [pfn])],
      ["kmem.mm_page_free_batched.format", formatText("mm_page_free_batched", 9, [])],
    ]);
    const bytes = joined(new MadePage(1n).event(FREE_ID, 1, 1, [5, 0]).event(9, 1, 1, []));
    const source = await openMade([cpuOf(0, bytes)], [filesOf(files)]);
    expect(await rowsOf(source)).toHaveLength(1);
    expect(source.notes).toContainEqual({
      subject: "mm_page_free",
      text: "no field order in this kernel, taken as 0",
    });
    expect(source.notes).toContainEqual({
      subject: "mm_page_free_batched",
      text: "not read: no field pfn in this kernel",
    });
    expect(source.others.get("mm_page_free_batched")).toBe(1);
  });
});
