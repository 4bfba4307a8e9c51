/**
 * A report written by hand, for tests of the views only: every field is used,
 * numbers are as wide as those of a machine of one terabyte. No figure in it
 * was measured, and no view may depend on what the figures are.
 */
import type { DesignRow, DeviceRow, InspectReport, KindRow } from "../../src/report/model.js";

const TIB_FRAMES = 2 ** 28;

const kind = (
  name: KindRow["kind"],
  pages: number,
  objects: number,
  meanOrder: number | null,
  largestOrder: number | null,
): KindRow => ({ kind: name, pages, bytes: pages * 4096, objects, meanOrder, largestOrder });

const design = (
  name: string,
  summary: string,
  size: number,
  rest: Partial<DesignRow>,
): DesignRow => {
  const pageArray = TIB_FRAMES * size;
  const descriptors = rest.descriptors ?? [];
  const total = descriptors.reduce((sum, d) => sum + d.bytes + d.waste, pageArray);
  const frames = Math.ceil(total / 4096);
  return {
    design: name,
    summary,
    pageArray,
    descriptors,
    total,
    shareOfRam: total / 2 ** 40,
    estimated: null,
    band: null,
    change: total - TIB_FRAMES * 64,
    metadataFrames: { total: frames, from: [{ kind: "kernel", frames }] },
    lost: [],
    verify: null,
    ...rest,
  };
};

const folios = (objects: number, size: number): DesignRow["descriptors"] => [
  {
    type: "folio",
    objects,
    size,
    bytes: objects * size,
    waste: objects * 2,
    assumed: false,
    source: "kernelnewbies Memdescs/Path",
  },
  {
    type: "anon-folio",
    objects: 12_345_678,
    size: 96,
    bytes: 12_345_678 * 96,
    waste: 4096 * 17,
    assumed: true,
    source: "assumed",
  },
];

const memdesc8 = design("memdesc8", "8 B + descriptors", 8, {
  descriptors: folios(60_123_456, 96),
});

const deviceRow = (
  words: string,
  name: DeviceRow["name"],
  record: DeviceRow["record"],
  rest: Partial<DeviceRow>,
): DeviceRow => ({
  words,
  name,
  record,
  summary: `${record} 64 B`,
  idle: { static: 1_072_693_248, chunk: 1_047_552, request: 1_047_552 },
  inService: 1_072_693_248,
  perGiB: 1_047_552,
  change: 1_047_552,
  parts: [
    {
      what: "records",
      objects: 16_760_832,
      size: 64,
      idle: 1_072_693_248,
      bytes: 1_072_693_248,
      assumed: record === "device-private",
      source: "struct page",
    },
  ],
  band: null,
  ...rest,
});

/** All names and records on some page words; figures as wide as figures can be. */
const deviceRows = (words: string): DeviceRow[] => [
  deviceRow(words, "physical", "page", words === "today" ? { change: 0 } : {}),
  deviceRow(words, "offset", "page", {}),
  deviceRow(words, "tuple", "page", {}),
  deviceRow(words, "offset", "folio", { change: -1_047_552, inService: 1_172_693_248 }),
  deviceRow(words, "tuple", "folio", {}),
  deviceRow(words, "offset", "device-private", {
    band: [64, 80, 96, 128].map((size) => ({ size, total: 1e6 * size })),
  }),
  deviceRow(words, "tuple", "device-private", {}),
];

/** One terabyte, three designs, everything that can be shown. */
export const SAMPLE: InspectReport = {
  schema: "memdesc/inspect/1",
  machine: {
    label: "big <machine> & co.tar",
    origin: "tar",
    kernel: "6.18.44-some-vendor-kernel-amd64",
    ram: 2 ** 40,
    frames: TIB_FRAMES,
    pageSize: 4096,
    nodes: 8,
    zones: [{ node: 0, name: "Normal", start: 0, spanned: TIB_FRAMES, present: 1, managed: 1 }],
    whatIf: ["file-order=4", "ram=1TiB"],
    readSeconds: 12.34,
  },
  kinds: [
    kind("free", 134_217_728, 131_072, 10, 10),
    kind("file", 100_000_000, 60_123_456, 0.9, 9),
    kind("shmem", 0, 0, null, null),
    kind("anon", 12_345_678, 12_345_678, 0, 9),
    kind("hwpoison", 12, 12, 0, 0),
    kind("uninitialised", TIB_FRAMES - 246_563_418, 0, null, null),
  ],
  designs: [
    design("today", "struct page 64 B", 64, {
      verify: { compared: TIB_FRAMES, leftOut: [], differences: 0, first: [] },
    }),
    {
      ...memdesc8,
      estimated: {
        total: memdesc8.total * 1.1,
        shareOfRam: memdesc8.shareOfRam * 1.1,
        fill: 0.91,
        basis: "91 % of the objects of like caches in slabinfo (dentry, inode caches) are in use",
      },
      band: [64, 80, 96, 128].map((size) => ({ size, total: memdesc8.total + size * 1e6 })),
      lost: [
        { bit: "mlocked", frames: 123_456_789, why: "no flag word of its own in a Misc page" },
      ],
      verify: {
        compared: TIB_FRAMES - 5,
        leftOut: [{ why: "metadata", frames: 5 }],
        differences: 1,
        first: [{ pfn: 77, file: "kpageflags", expected: "lru,mlocked", got: "lru" }],
      },
    },
    design("memdesc8+separated=page-table.slab", "8 B + descriptors", 8, {}),
  ],
  breakEven: [
    {
      design: "memdesc8",
      order: 1,
      orderAtBase: 1,
      perOrder: Array.from({ length: 11 }, (_, order) => ({
        order,
        today: 64 * 2 ** order,
        design: 8 * 2 ** order + 96,
      })),
    },
    {
      design: "slot64",
      order: null,
      orderAtBase: null,
      perOrder: Array.from({ length: 11 }, (_, order) => ({
        order,
        today: 64 * 2 ** order,
        design: 64 * 2 ** order,
      })),
    },
  ],
  reconciliation: [
    {
      name: "page array",
      ours: 17_179_869_184,
      theirs: 17_179_869_184,
      source: "vmstat nr_memmap_boot_pages + nr_memmap_pages",
      residue: 0,
      unit: "bytes",
    },
    ...Array.from({ length: 11 }, (_, order) => ({
      name: `free blocks, order ${order}`,
      ours: 1000 + order,
      theirs: 1000,
      source: "buddyinfo",
      residue: order,
      unit: "blocks" as const,
      why: "buddyinfo was read at another moment",
    })),
  ],
  vmemmap: [
    {
      name: "hugetlb today",
      saved: 7 * 4096 * 100,
      total: 17_179_869_184 - 7 * 4096 * 100,
      why: "7 of the 8 vmemmap pages of each 2 MiB page are given back",
    },
  ],
  device: {
    size: 2 ** 40,
    order: 0,
    measured: 2 ** 30,
    rows: ["today", "memdesc8", "today+separated=page-table/zpdesc/slab"].flatMap(deviceRows),
    refused: [
      { name: "physical", record: "folio", why: "a pfn leads to a struct page" },
      { name: "physical", record: "device-private", why: "a pfn leads to a struct page" },
    ],
  },
  notes: [{ subject: "kpageflags bit 50", text: "unknown, kept, set on 3 frames" }],
  arithmetic: [
    {
      figure: "today total",
      value: 17_179_869_184,
      unit: "bytes",
      sum: "268,435,456 frames × 64 B",
      source: "struct page of Linux 6.18",
    },
    { figure: "memdesc8 share", value: 0.0051, unit: "share", sum: "a / b", source: "x" },
  ],
};
