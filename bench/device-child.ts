/**
 * One design's series of `device` in a process of its own: pages of a process go to
 * a device and back, single and huge; snapshots by HMM; pages taken into service and
 * let go; looking a page up by its number, with one page map and with many. Prints
 * nanoseconds per page (per pair, per look-up), and host bytes for a GiB of device
 * memory, as JSON. Arguments: design, rounds, pages.
 *
 * The driver here is the least that a driver can be (a list of offsets, no data to
 * copy), so that what is timed is the engine.
 */
import { parseDesign } from "../src/engine/design/presets.js";
import { Devices } from "../src/engine/device/devices.js";
import { MEMORY_DEVICE_PRIVATE } from "../src/engine/device/kinds.js";
import type { DevPagemap } from "../src/engine/device/pagemap.js";
import {
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateArgs,
  type MigrateVmaArgs,
} from "../src/engine/device/migrate-args.js";
import { flagsAt, MIGRATE_PFN_COMPOUND } from "../src/engine/device/migrate-pfn.js";
import {
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PMD_ORDER,
  PMD_PAGES,
  PROT_READ,
  PROT_WRITE,
} from "../src/engine/process/constants.js";
import { Kernel } from "../src/engine/process/kernel.js";
import type { Process } from "../src/engine/process/process.js";
import { widenInlining } from "../src/scenario/jit.node.js";
import { ref } from "../src/units.js";

const PAGE = 4096;
/** Each small map takes a section of 128 MiB where its pages have pfns. */
const ROOM = 2 ** 35;
const RW = PROT_READ | PROT_WRITE;

widenInlining();
const [design = "", rounds, count] = process.argv.slice(2);
const pages = Number(count);
const kernel = Kernel.boot(
  { memory: "1GiB", cpus: 2, device: { private: ROOM, span: "128MiB" } },
  parseDesign(design),
);
const devices = Devices.attach(kernel);
const { base } = kernel;
const series: Record<string, number[]> = {};

/** Offsets that are free, last in first out; whole PMDs in a list of their own. */
const singles = new Int32Array(pages);
let free = 0;
const huge = new Int32Array(pages / PMD_PAGES);
let freeHuge = 0;
for (let i = pages - 1; i >= 0; i--) singles[free++] = i;
for (let i = pages - PMD_PAGES; i >= 0; i -= PMD_PAGES) huge[freeHuge++] = pages + i;
const owner = {};
const map = devices.mapPages({
  name: "bench",
  type: MEMORY_DEVICE_PRIVATE,
  pages: pages * 2,
  owner,
  ops: {
    folioFree: (page, order) => {
      if (order === 0) singles[free++] = page - map.first;
      else huge[freeHuge++] = page - map.first;
    },
    migrateToRam: () => -1007,
  },
});

function time(name: string, per: number, does: () => void): void {
  const start = performance.now();
  does();
  (series[name] ??= []).push(((performance.now() - start) * 1e6) / per);
}

const args = migrateArgs(PMD_PAGES);

/** Every page of a range, in pieces of a PMD; `give` finds a destination for each entry. */
function migrate(
  p: Process,
  vpn: number,
  n: number,
  flags: number,
  give: (a: MigrateVmaArgs) => void,
): void {
  args.vma = base.vmas.tree.lookup(p.mm, vpn);
  args.owner = owner;
  args.flags = flags;
  for (let at = vpn; at < vpn + n; at += PMD_PAGES) {
    args.start = at;
    args.end = at + PMD_PAGES;
    devices.migrate.setup(args);
    give(args);
    devices.migrate.pages(args);
    devices.migrate.finalize(args);
  }
}

function toDevice(a: MigrateVmaArgs): void {
  for (let i = 0; i < a.npages; i++) {
    const large = (flagsAt(a.src, i) & MIGRATE_PFN_COMPOUND) !== 0;
    if (!large && flagsAt(a.src, i) === 0) continue;
    const offset = large ? huge[--freeHuge] : singles[--free];
    const page = devices.activate(map, offset, large ? PMD_ORDER : 0);
    devices.pfns.set(a.dst, i, page, large ? MIGRATE_PFN_COMPOUND : 0);
  }
}

function toSystem(a: MigrateVmaArgs): void {
  for (let i = 0; i < a.npages; i++) {
    const large = (flagsAt(a.src, i) & MIGRATE_PFN_COMPOUND) !== 0;
    if (!large && flagsAt(a.src, i) === 0) continue;
    const pfn = devices.allocSystem(large ? PMD_ORDER : 0);
    devices.pfns.set(a.dst, i, pfn, large ? MIGRATE_PFN_COMPOUND : 0);
  }
}

function bothWays(name: string, p: Process, vpn: number, compound: number): void {
  time(`${name} to device`, pages, () =>
    migrate(p, vpn, pages, MIGRATE_VMA_SELECT_SYSTEM | compound, toDevice),
  );
  if (map.inService !== pages)
    throw new Error(`${map.inService} of ${pages} pages are with the device`);
  lookups("number to record, 1 map", [map]);
  lookups(`number to record, ${MANY} maps`, others);
  snapshot(p, vpn, `snapshot, ${name} with the device`);
  time(`${name} to RAM`, pages, () =>
    migrate(p, vpn, pages, MIGRATE_VMA_SELECT_DEVICE_PRIVATE | compound, toSystem),
  );
  if (map.inService !== 0) throw new Error(`${map.inService} pages stayed with the device`);
}

/** Pages that one hmm_range_fault looks at. */
const WINDOW = 512;
const range = {
  mm: ref(0),
  notifier: ref(0),
  notifierSeq: 0,
  start: 0,
  end: 0,
  pfns: new Int32Array(WINDOW * 2),
  defaultFlags: 0,
  pfnFlagsMask: 0,
  owner,
};

/** hmm_range_fault without a request to fault, over all pages. */
function snapshot(p: Process, vpn: number, name: string): void {
  const { notifiers } = base;
  const notifier = notifiers.insert(p.mm, vpn, pages, { invalidate: () => true });
  Object.assign(range, { mm: p.mm, notifier });
  range.notifierSeq = notifiers.readBegin(notifier);
  time(name, pages, () => {
    for (let at = vpn; at < vpn + pages; at += WINDOW) {
      range.start = at;
      range.end = at + WINDOW;
      if (devices.hmm.hmmRangeFaultLocking(range) !== 0) throw new Error("a snapshot was refused");
    }
  });
  notifiers.remove(notifier);
}

/** Page maps of 2 MiB beside the large one, for the look-up among many. */
const MANY = 200;
const others = Array.from({ length: MANY }, (_, i) =>
  devices.mapPages({
    name: `small ${i}`,
    type: MEMORY_DEVICE_PRIVATE,
    pages: PMD_PAGES,
    owner,
    ops: map.ops,
  }),
);
let found = 0;

/** Numbers of pages in an order that caches do not like; then each is looked up. */
function lookups(name: string, maps: readonly DevPagemap[]): void {
  const { naming, record } = devices;
  const lo = new Int32Array(pages);
  const hi = new Int32Array(pages);
  for (let i = 0; i < pages; i++) {
    const at = (i * 40503) % pages;
    const { first, pages: n, words } = maps[at % maps.length];
    lo[i] = naming.numberLow(first + (at % n), words);
    hi[i] = naming.numberHigh(first, words);
  }
  time(name, pages, () => {
    for (let i = 0; i < pages; i++) found += record.rowRef(naming.find(lo[i], hi[i]));
  });
}

function round(): void {
  const p = kernel.createProcess();
  const length = pages * PAGE;
  const at = p.mmap({ length, prot: RW, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  for (let i = 0; i < pages; i++) kernel.faults.handle(p.mm, at / PAGE + i, true);
  snapshot(p, at / PAGE, "snapshot, order 0 in RAM");
  bothWays("order 0", p, at / PAGE, 0);
  p.munmap(at, length);
  const large = p.mmap({
    length: length + PMD_PAGES * PAGE,
    prot: RW,
    flags: MAP_PRIVATE | MAP_ANONYMOUS,
  });
  const aligned = Math.ceil(large / PAGE / PMD_PAGES) * PMD_PAGES;
  p.madvise(aligned * PAGE, length, MADV_HUGEPAGE);
  for (let i = 0; i < pages; i += PMD_PAGES) kernel.faults.handle(p.mm, aligned + i, true);
  bothWays("PMD", p, aligned, MIGRATE_VMA_SELECT_COMPOUND);
  p.exit();
  time("activate and put", pages, () => {
    for (let i = 0; i < pages; i++) devices.release(devices.activate(map, singles[--free], 0));
  });
}

for (let i = 0; i < 3; i++) round();
for (const values of Object.values(series)) values.length = 0;
for (let i = 0; i < Number(rounds); i++) round();
if (found === 0) throw new Error("nothing was looked up");
console.log(JSON.stringify(series));
