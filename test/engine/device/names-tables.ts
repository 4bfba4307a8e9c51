/**
 * The tables of docs/device-names.md, from the engine: what was counted on machines that
 * were booted for it, and what stands in the source. Nothing is written by hand but the
 * names of kernel functions and who needs which field.
 */
import { Devices } from "../../../src/engine/device/devices.js";
import { HMM_PFN_ORDER_SHIFT, HMM_PFN_VALID } from "../../../src/engine/device/hmm/hmm-pfn.js";
import { MEMORY_DEVICE_PRIVATE } from "../../../src/engine/device/kinds.js";
import { MIGRATE_PFN_BITS } from "../../../src/engine/device/migrate-pfn.js";
import type { DevPagemap } from "../../../src/engine/device/pagemap.js";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { STRUCTS } from "../../../src/engine/layout/generated/tables.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import { O_MAPLE_NODE } from "../../../src/engine/process/objects.js";
import { PlainWords } from "../../../src/engine/words/plain.js";
import { formatBytes, type Ref } from "../../../src/units.js";
import { KERNEL } from "./conversion-kernel.js";
import { sitesOf, type Site, type Way } from "./conversion-sites.js";

const NAMES = ["physical", "offset", "tuple"] as const;
const RECORDS = ["page", "folio", "device-private"] as const;
const GIB_PAGES = 2 ** 18;
const FRAME = 4096;

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((r) => `| ${r.join(" | ")} |`).join("\n");
const count = (n: number): string => n.toLocaleString("en-US");

/** Words that count what is read, and the bytes that are written. */
class Meter extends PlainWords {
  loads = 0;
  stored = 0;

  override load32(ref: Ref, off: number): number {
    this.loads++;
    return super.load32(ref, off);
  }

  override load64(ref: Ref, off: number): number {
    this.loads++;
    return super.load64(ref, off);
  }

  override fillRun(
    ref: Ref,
    off: number,
    template: Int32Array,
    n: number,
    ...rest: [Int32Array | null, number, number]
  ): void {
    this.stored += template.length * 4 * n;
    super.fillRun(ref, off, template, n, ...rest);
  }

  /** Loads of one operation. */
  of(act: () => void): number {
    const before = this.loads;
    act();
    return this.loads - before;
  }
}

interface Booted {
  readonly devices: Devices;
  readonly meter: Meter;
}

function boot(design: string, memory = "16MiB"): Booted {
  let meter: Meter | undefined;
  const kernel = Kernel.boot(
    // Maps with pfns are a section apart.
    { memory, device: { private: "9GiB", span: "128MiB" } },
    parseDesign(design),
    (size) => (meter = new Meter(size)),
  );
  if (meter === undefined) throw new Error("no words");
  return { devices: Devices.attach(kernel), meter };
}

const map = (devices: Devices, pages: number, i = 0): DevPagemap =>
  devices.mapPages({
    name: `gpu ${i}`,
    type: MEMORY_DEVICE_PRIVATE,
    pages,
    owner: devices,
    ops: { folioFree: () => {}, migrateToRam: () => 0 },
  });

const TODAY = "today+activation=request+device-lifetime=request";

/** Words read to follow a number, and to make one, of a page of the last of `maps` page maps. */
function loadsOf(name: string, record: string, maps: number): Record<string, number> {
  const design = `${TODAY}+device-name=${name}+device-record=${record}`;
  const { devices, meter } = boot(design);
  const all = Array.from({ length: maps }, (_, i) => map(devices, 512, i));
  const page = devices.activate(all[maps - 1], 3, 0);
  const { numbers, pfns, hmm } = devices;
  const lo = numbers.privateEntry(page, true);
  const { hi } = numbers;
  const moving = numbers.migrationEntry(page, 0);
  const movingHi = numbers.hi;
  const array = new Int32Array(2);
  pfns.set(array, 0, page, 0);
  const range = new Int32Array(2);
  hmm.pfns.set(range, 0, page, HMM_PFN_VALID, 0);
  return {
    entry: meter.of(() => numbers.find(lo, hi)),
    moving: meter.of(() => numbers.moving(moving, movingHi)),
    migrate: meter.of(() => pfns.page(array, 0)),
    hmm: meter.of(() => hmm.page(range, 0)),
    make: meter.of(() => numbers.privateEntry(page, true)),
  };
}

/** What a conversion costs. */
export function loadsTable(): string {
  const rows: string[][] = [];
  for (const [what, key] of [
    ["follow a device-private entry (`device_private_entry_to_page`)", "entry"],
    ["follow a migration entry (`softleaf_to_page`)", "moving"],
    ["follow an entry of a migrate array (`migrate_pfn_to_page`)", "migrate"],
    ["follow an entry of an HMM array (`hmm_pfn_to_page`)", "hmm"],
  ] as const)
    for (const maps of [1, 64]) {
      const loads = NAMES.map((name) => String(loadsOf(name, "page", maps)[key]));
      rows.push([what, count(maps), ...loads]);
    }
  for (const record of RECORDS)
    rows.push([
      `make a number of a page, record \`${record}\``,
      "64",
      ...NAMES.map((name) =>
        name === "physical" && record !== "page" ? "–" : String(loadsOf(name, record, 64)["make"]),
      ),
    ]);
  return table(["conversion", "page maps", ...NAMES], rows);
}

/** Loads of a way: to follow a device-private page's number, or to make one. */
function wayLoads(): (w: Way) => string {
  const each = NAMES.map((name) => loadsOf(name, "page", 64));
  const of = (key: string): string => each.map((l) => l[key]).join(" / ");
  const [follow, make] = [of("entry"), of("make")];
  return ({ does, holder, of: whose }) => {
    if (whose === "frame" || holder === "raw scan") return "0";
    if (holder === "HMM array" && does === "makes") return "0";
    const loads = does === "reads" ? follow : make;
    return whose === "device" ? loads : `0 or ${loads}`;
  };
}

const TELLS: Readonly<Record<string, string>> = {
  "entry type entry type": "type of the entry",
  "entry type struct page": "type of the entry (*physical*: the struct page)",
  "array flag struct page": "flag of the entry (*physical*: the struct page)",
  "section section": "the section: RAM, online",
  "struct page struct page": "the page map over the pfn, the struct page",
  "caller caller": "the callback's contract: a pfn; whose, its page map",
  "record record": "the page itself",
};

const distinct = (texts: readonly string[]): string => [...new Set(texts)].join("; ");

/** The published list of conversion sites. */
export function sitesTable(room: "process" | "device"): string {
  const loads = wayLoads();
  const rowOf = ({ name, ways }: Site): string[] => {
    const [file, ...rest] = name.split(" ");
    return [
      `\`${file.replace(`${room}/`, "")}\` ${rest.join(" ")}`,
      KERNEL[name] ?? "**?**",
      distinct(ways.map((w) => `${w.does}, ${w.holder}`)),
      distinct(ways.map((w) => TELLS[`${w.own} ${w.physical}`])),
      distinct(ways.map(loads)),
    ];
  };
  const head = ["site", "kernel", "converts", "what tells the kind", "loads"];
  return table(head, sitesOf(room).map(rowOf));
}

/** Drivers convert through the two arrays only. */
export function driverSites(): string {
  return sitesOf("drivers")
    .map(({ name, ways }) => {
      const holders = [...new Set(ways.map((w) => `${w.holder}`))].join(", ");
      return `- \`${name.replace("drivers/", "")}\`: ${holders}`;
    })
    .join("\n");
}

/** Bits of a number in each place that holds one. */
export function bitsTable(): string {
  const rows = NAMES.map((name) => {
    const { naming } = boot(`${TODAY}+device-name=${name}`).devices;
    const { number, space } = naming.bits;
    const bits = space > 0 ? `${number} index + ${space} space` : String(number);
    const used = number + space;
    return [
      name,
      bits,
      `${used} of 50`,
      `${used} of 48`,
      `${used} of ${MIGRATE_PFN_BITS}`,
      `${used} of ${HMM_PFN_ORDER_SHIFT}`,
    ];
  });
  return table(
    [
      "name",
      "number",
      "page-table entry",
      "migration entry (young, dirty)",
      "migrate array",
      "HMM array",
    ],
    rows,
  );
}

/** What 1 GiB of device memory costs the moment its page map is made. */
export function costsTable(): string {
  const rows: string[][] = [];
  for (const word of ["today", "memdesc8"])
    for (const record of RECORDS)
      for (const name of NAMES) {
        if (name === "physical" && record !== "page") continue;
        const design = `${word}+device-name=${name}+device-record=${record}+activation=request`;
        const cells = (["static", "request"] as const).map((lifetime) => {
          const { devices, meter } = boot(`${design}+device-lifetime=${lifetime}`, "256MiB");
          const { machine } = devices.kernel;
          const { core } = devices.base;
          const before = machine.deviceArea?.frames ?? 0;
          const stored = meter.stored;
          const nodes = core.objects(O_MAPLE_NODE);
          map(devices, GIB_PAGES);
          const frames = (machine.deviceArea?.frames ?? 0) - before;
          return {
            frames: count(frames * FRAME),
            nodes: core.objects(O_MAPLE_NODE) - nodes,
            stored: formatBytes(meter.stored - stored),
          };
        });
        const [fixed, asked] = cells;
        const lookup =
          name === "physical"
            ? "8 B for each section of the address space"
            : name === "offset"
              ? `${fixed.nodes} node of 256 B`
              : "16 B of a page of spaces";
        rows.push([`\`${word}\``, record, name, fixed.frames, fixed.stored, asked.frames, lookup]);
      }
  return table(
    [
      "word",
      "record",
      "name",
      "`static`: bytes of frames",
      "bytes initialised",
      "`request`: bytes of frames",
      "to find it",
    ],
    rows,
  );
}

/** Who needs a field of a device page, by the paths of device-facts §7.5. */
const NEEDED: Readonly<Record<string, string>> = {
  flags:
    "lock bit and waiters (fault, migration), uptodate, dirty, referenced, swapbacked (copied at migration), AnonExclusive of each page, head bit; node on top (statistics)",
  mapping: "reverse map: the anon_vma",
  compound_head: "a tail's way to its head (folio_split, PMD mappings)",
  index: "reverse map: where in the mapping",
  mapcount: "map count of each page; folio_mapcount of a single one",
  refcount: "references: idle is 0",
  pgmap: "page_pgmap: owner, callbacks, what to drop at free",
  data: "zone_device_data",
  memcg: "charge, moved at migration",
  lru: "no device page is on a list: pgmap and zone_device_data lie there",
  private: "swap slot, buffers: never",
  pincount: "pins: never, GUP brings the page back first",
  pfn: "which pages the folio has: its first page",
  order: "how many",
  large_mapcount: "folio_mapcount of a large folio",
  entire_mapcount: "PMD mappings of it",
  nr_pages_mapped: "pages of it that are mapped at all",
  mm_ids: "maybe mapped shared",
  mm_id_mapcount: "the same",
  deferred_list: "deferred split: never, its mappings are split at once",
};

const FIELDS = [
  "flags",
  "mapping",
  "compound_head",
  "index",
  "mapcount",
  "refcount",
  "pgmap",
  "data",
  "memcg",
  "lru",
  "private",
  "pincount",
  "pfn",
  "order",
  "large_mapcount",
  "entire_mapcount",
  "nr_pages_mapped",
  "mm_ids",
  "mm_id_mapcount",
  "deferred_list",
] as const;

type StructName = keyof typeof STRUCTS;

/** Offset and width of a field in the first struct that has it. */
function place(structs: readonly StructName[], field: string): string {
  const alias: Readonly<Record<string, readonly string[]>> = {
    memcg: ["memcg", "memcg_data"],
    lru: ["lru", "lru_next"],
    pgmap: ["pgmap", "lru_next", "lru"],
    data: ["data", "lru_prev", "lru"],
    order: ["order", "flags_1"],
  };
  for (const struct of structs)
    for (const name of alias[field] ?? [field]) {
      const found = STRUCTS[struct].fields.find((f) => f.name === name);
      if (found !== undefined) return `${found.offset}, ${found.width} B`;
    }
  return "–";
}

/** The three records, field by field. */
export function recordsTable(): string {
  const rows = FIELDS.map((field) => [
    field,
    NEEDED[field] ?? "",
    place(["PAGE64", "FOLIO64"], field),
    place(["FOLIO", "FOLIO_LARGE"], field),
    place(["DEVICE_PRIVATE", "DEVICE_PRIVATE_LARGE"], field),
  ]);
  const size = (s: StructName): string => `${STRUCTS[s].size} B`;
  return table(
    [
      "field",
      "needed for",
      `\`page\` (${size("PAGE64")})`,
      `\`folio\` (${size("FOLIO")}, large ${size("FOLIO_LARGE")})`,
      `\`device-private\` (${size("DEVICE_PRIVATE")})`,
    ],
    rows,
  );
}
