/** Text files of /proc: what is read of them, and that nothing in them can do harm. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { assemble, TEXT_FILES } from "../../src/observe/assemble.js";
import { parseBuddyinfo } from "../../src/observe/procfs/buddyinfo.js";
import { parseIomem } from "../../src/observe/procfs/iomem.js";
import { parseMeminfo } from "../../src/observe/procfs/meminfo.js";
import { PageRunsBuilder } from "../../src/observe/page-runs-builder.js";
import { parsePagetypeinfo } from "../../src/observe/procfs/pagetypeinfo.js";
import { parseSlabinfo } from "../../src/observe/procfs/slabinfo.js";
import { readHugePools, readNodeRanges } from "../../src/observe/procfs/sysfs.js";
import { treeOf } from "../../src/observe/files/members.node.js";
import { parseVersion } from "../../src/observe/procfs/version.js";
import { parseVmallocinfo } from "../../src/observe/procfs/vmallocinfo.js";
import { parseVmstat } from "../../src/observe/procfs/vmstat.js";
import { parseZoneinfo } from "../../src/observe/procfs/zoneinfo.js";
import {
  FIXTURES,
  MACHINES,
  made,
  type MadeZone,
  refusal,
  refusedOrRead,
  zoneinfoOf,
} from "./helpers.js";

const text = (machine: string, name: string): string =>
  readFileSync(join(FIXTURES, machine, name), "utf8");

describe("zoneinfo", () => {
  it.each([
    ["guest-6.1", [1, 4095, 3998, 3840], [4096, 61_402, 61_402, 52_001]],
    ["guest-6.12", [1, 4095, 3998, 3840], [4096, 61_402, 61_402, 50_678]],
    ["vm-6.18", [1, 4095, 3998, 3840], [4096, 1_044_480, 782_336, 772_918]],
  ])("reads the shape of %s", (machine, dma, dma32) => {
    const { zones, notes } = parseZoneinfo(text(machine, "zoneinfo"));
    expect(zones.map((z) => z.name)).toEqual(["DMA", "DMA32", "Normal", "Movable", "Device"]);
    expect([zones[0].start, zones[0].spanned, zones[0].present, zones[0].managed]).toEqual(dma);
    expect([zones[1].start, zones[1].spanned, zones[1].present, zones[1].managed]).toEqual(dma32);
    expect(zones[0].protection.length).toBe(5);
    expect(zones[1].cpus.length).toBe(2);
    expect(zones[1].cpus[0].batch).toBeGreaterThan(0);
    expect(notes).toEqual([]);
  });

  const absurd: readonly [what: string, zones: readonly MadeZone[], reason: RegExp][] = [
    ["a negative count", [{ spanned: "-5" }], /spanned should be a count/],
    ["a count past 2^64", [{ spanned: "99999999999999999999999" }], /should be a count/],
    ["a count past 2^53", [{ spanned: "18446744073709551615" }], /beyond 2\^53/],
    ["spanned below present", [{ spanned: 10, present: 11 }], /11 pages present but spans only 10/],
    [
      "managed above present",
      [{ spanned: 10, present: 9, managed: 10 }],
      /10 pages managed but only 9/,
    ],
    ["an end past 2^32", [{ start: 2 ** 32 - 1, spanned: 2 }], /beyond 2\^32/],
    ["pages without a start", [{ start: null, spanned: 4 }], /no start_pfn/],
    ["the same zone twice", [{ spanned: 4 }, { start: 8, spanned: 4 }], /appears twice/],
    [
      "zones of one node over each other",
      [
        { name: "DMA", spanned: 8, present: 4 },
        { start: 4, spanned: 8, present: 4 },
      ],
      /overlaps zone DMA/,
    ],
    [
      "more pages than frames",
      [
        { node: 0, spanned: 8 },
        { node: 1, start: 4, spanned: 4 },
      ],
      /more than there are frames/,
    ],
    ["a node that no kernel has", [{ node: 5000, spanned: 4 }], /node 5000/],
  ];
  it.each(absurd)("refuses %s, naming the line", (_what, zones, reason) => {
    const error = refusal(() => parseZoneinfo(zoneinfoOf(...zones)));
    expect(error.message).toMatch(reason);
    expect(error.file).toBe("zoneinfo");
    expect(error.line).toBeGreaterThan(0);
  });

  it("accepts nodes whose spans interleave, and Movable inside Normal", () => {
    const nodes = zoneinfoOf(
      { node: 0, spanned: 12, present: 8 },
      { node: 1, start: 4, spanned: 4 },
    );
    expect(parseZoneinfo(nodes).zones.length).toBe(2);
    const movable = zoneinfoOf(
      { spanned: 12, present: 8 },
      { name: "Movable", start: 8, spanned: 4 },
    );
    expect(parseZoneinfo(movable).zones.length).toBe(2);
  });

  it("refuses a zone cut in the middle, and text that is none", () => {
    expect(refusal(() => parseZoneinfo("Node 0, zone DMA\n  pages free 3\n")).message).toMatch(
      /has no "min"/,
    );
    expect(refusal(() => parseZoneinfo("hello\n")).message).toMatch(/line 1/);
    expect(refusal(() => parseZoneinfo("")).message).toMatch(/no zone/);
  });

  it("stands in for a missing file with one zone, by name", () => {
    const snapshot = made([
      { pages: 8, flags: [] },
      { pages: 2, flags: ["NOPAGE"] },
      { pages: 4, flags: ["RESERVED"] },
    ]);
    expect(snapshot.zones).toMatchObject([
      { name: "Normal", start: 0, spanned: 14, present: 12, managed: 8 },
    ]);
    expect(snapshot.notes.map((n) => n.subject)).toContain("zoneinfo");
  });

  it("refuses pages that end before the zones do", () => {
    const error = refusal(() =>
      made([{ pages: 8, flags: [] }], { zoneinfo: zoneinfoOf({ spanned: 9 }) }),
    );
    expect(error).toMatchObject({ file: "kpageflags", offset: 64 });
  });
});

describe("the other text files", () => {
  it("buddyinfo: blocks by order", () => {
    const rows = parseBuddyinfo(text("vm-6.18", "buddyinfo"));
    expect(rows.map((r) => r.zone)).toEqual(["DMA", "DMA32", "Normal"]);
    expect(rows[2].free).toEqual([3955, 2319, 1136, 1450, 1140, 1002, 901, 553, 7, 176, 468]);
  });

  it("pagetypeinfo: both tables, and >100000 as a noted bound", () => {
    const { rows } = parsePagetypeinfo(text("vm-6.18", "pagetypeinfo"));
    expect(rows.length).toBe(15);
    expect(rows.find((r) => r.zone === "Normal" && r.migrateType === "Movable")).toMatchObject({
      blocks: 1937,
      free: [0, 1, 0, 801, 829, 870, 864, 535, 0, 176, 468],
    });
    const many = parsePagetypeinfo("Node    0, zone   Normal, type    Movable >100000 7\n");
    expect(many.rows[0].free).toEqual([100_000, 7]);
    expect(many.notes[0].text).toMatch(/lower bound/);
  });

  it("vmstat and meminfo: by name, bytes where the kernel says kB", () => {
    expect(parseVmstat("nr_free_pages 12\nnr_x 18446744073709551615\n")).toMatchObject({
      counters: { nr_free_pages: 12 },
      notes: [{ subject: "vmstat nr_x" }],
    });
    expect(parseMeminfo("MemTotal:  24684096 kB\nHugePages_Total:       2\n")).toEqual({
      MemTotal: 24684096 * 1024,
      HugePages_Total: 2,
    });
  });

  it("vmallocinfo: areas and pages, and no address", () => {
    const lines = text("vm-6.18", "vmallocinfo").trim().split("\n");
    const pages = lines.reduce((n, l) => n + Number(/pages=(\d+)/.exec(l)?.[1] ?? 0), 0);
    expect(parseVmallocinfo(lines.join("\n"))).toEqual({ areas: lines.length, pages });
  });

  it("slabinfo: every cache", () => {
    const rows = parseSlabinfo(text("vm-6.18", "slabinfo"));
    expect(rows.length).toBe(235);
    expect(rows.find((r) => r.name === "kmalloc-96")).toEqual({
      name: "kmalloc-96",
      activeObjects: 3444,
      objects: 3444,
      objectSize: 96,
      objectsPerSlab: 42,
      pagesPerSlab: 1,
      slabs: 82,
    });
    expect(refusal(() => parseSlabinfo("slabinfo - version: 9.1\n")).message).toMatch(/9\.1/);
  });

  it("iomem: whole frames of System RAM; hidden addresses are named", () => {
    expect(parseIomem(text("vm-6.18", "iomem"))).toEqual({
      ram: [
        { start: 1, end: 0x9f },
        { start: 0x100, end: 0xc0000 },
        { start: 0x100000, end: 0x640000 },
      ],
      notes: [{ subject: "iomem", text: "1 frame is only partly RAM and not counted as RAM" }],
    });
    const hidden = parseIomem(
      "00000000-00000000 : System RAM\n  00000000-00000000 : Kernel code\n",
    );
    expect(hidden.ram).toBeNull();
    expect(hidden.notes[0].text).toMatch(/CAP_SYS_ADMIN/);
  });

  it("version: the release, never who built it", () => {
    expect(parseVersion("Linux version 6.12.117+deb12-cloud-amd64 (user@secret) #1 SMP")).toBe(
      "6.12.117+deb12-cloud-amd64",
    );
    expect(parseVersion(text("vm-6.18", "version"))).toBe("6.18.44");
  });

  it("/sys: online memory blocks by node, and hugetlb pools", () => {
    const tree = treeOf(
      new Map([
        ["devices/system/memory/block_size_bytes", "8000000\n"],
        ["devices/system/node/node0/memory0/state", "online\n"],
        ["devices/system/node/node0/memory1/state", "offline\n"],
        ["devices/system/node/node0/memory2", ""],
        ["devices/system/node/node1/memory3", ""],
        ["devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "5\n"],
        ["devices/system/node/node0/hugepages/hugepages-2048kB/free_hugepages", "3\n"],
      ]),
    );
    expect(readNodeRanges(tree).ranges).toEqual([
      { node: 0, start: 0, end: 32_768 },
      { node: 0, start: 65_536, end: 98_304 },
      { node: 1, start: 98_304, end: 131_072 },
    ]);
    expect(readHugePools(tree)).toEqual([
      { node: 0, size: 2 ** 21, total: 5, free: 3, surplus: 0 },
    ]);
  });
});

describe("garbage", () => {
  const pages = ((): ReturnType<PageRunsBuilder["finish"]> => {
    const builder = new PageRunsBuilder();
    builder.pushRun(16, 0, 0, 0, 0, 0, 0);
    return builder.finish();
  })();
  const withText = (name: string, content: string): boolean =>
    refusedOrRead(() =>
      assemble({
        label: "garbage",
        origin: "folder",
        pages,
        hasMapcount: false,
        hasCgroup: false,
        texts: { [name]: content },
        sys: null,
        structSizes: null,
        notes: [],
      }),
    );

  it("in any text file is an InputError or a note, never anything else", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...TEXT_FILES),
        fc.string({ unit: "binary", maxLength: 300 }),
        (name, content) => withText(name, content),
      ),
      { numRuns: 2000 },
    );
  });

  it("made by changing real files is an InputError or a note, never anything else", () => {
    const numbers = fc.constantFrom(
      "-1",
      "",
      "99999999999999999999",
      "18446744073709551615",
      "0x10",
      "NaN",
      "4294967296",
      "\0",
      "ffffffffffffffff",
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...MACHINES),
        fc.constantFrom(...TEXT_FILES),
        fc.nat(),
        numbers,
        fc.boolean(),
        (machine, name, at, number, cut) => {
          const content = text(machine, name).slice(0, 20_000);
          const spots = [...content.matchAll(/[0-9a-f]+/g)];
          const spot = spots[at % spots.length];
          const start = spot.index;
          const changed =
            content.slice(0, start) + (cut ? "" : number + content.slice(start + spot[0].length));
          return withText(name, changed);
        },
      ),
      { numRuns: 600 },
    );
  });

  it("in a file that only gives totals costs that file and says so", () => {
    const snapshot = made([{ pages: 4, flags: [] }], {
      meminfo: "what?\n",
      vmstat: "nr_free_pages 1\n",
    });
    expect(snapshot.meminfo).toBeNull();
    expect(snapshot.vmstat).toEqual({ nr_free_pages: 1 });
    expect(snapshot.notes.find((n) => n.subject === "meminfo")?.text).toMatch(/not used \(line 1/);
  });
});
