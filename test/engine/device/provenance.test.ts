/**
 * The claim of the series of 2026: no generic path holds a raw pfn without knowing its
 * kind. Every conversion of a run is told to the witness; what it has seen at the end is
 * what this file asks for, in each naming.
 *
 * The runs: cases of the HMM self-tests that together fault, fork, migrate, snapshot,
 * split, lend and evict; a peer with an alias; page snapshots; all walkers over raw pfns.
 */
import { describe, expect, it } from "vitest";
import { CASES } from "../../../conformance/cases/index.js";
import { FIXTURES, VARIANTS, type Case, type Variant } from "../../../conformance/cases/case.js";
import { Rig } from "../../../conformance/harness.js";
import { Test } from "../../../conformance/testing.js";
import { parseDesign } from "../../../src/engine/design/presets.js";
import type { Devices } from "../../../src/engine/device/devices.js";
import { HMM_PFN_VALID } from "../../../src/engine/device/hmm/hmm-pfn.js";
import { MEMORY_DEVICE_PCI_P2PDMA } from "../../../src/engine/device/kinds.js";
import { MIGRATE_PFN_DEVICE_PRIVATE } from "../../../src/engine/device/migrate-pfn.js";
import { snapshotPage } from "../../../src/engine/device/page-snapshot.js";
import {
  LEADS_BACK,
  MARKED_AS_IT_IS,
  ONE_NUMBER_ONE_PAGE,
  Provenance,
  type ConversionUse,
} from "../../../src/engine/device/provenance.js";
import { CrashDumps } from "../../../src/engine/device/raw-walkers/crash-dump.js";
import { Hibernation } from "../../../src/engine/device/raw-walkers/hibernation.js";
import { IdlePages } from "../../../src/engine/device/raw-walkers/idle-pages.js";
import { MemoryFailures } from "../../../src/engine/device/raw-walkers/memory-failure.js";
import { Offlining } from "../../../src/engine/device/raw-walkers/offlining.js";
import { PageFlagsFile } from "../../../src/engine/device/raw-walkers/page-flags.js";
import { RawPfns } from "../../../src/engine/device/raw-walkers/raw-pfns.js";
import { IN_PAGE_TABLE } from "../../../src/engine/process/number-witness.js";
import { walkTables } from "../../../src/engine/sanitizer/process/entries.js";
import type { Process } from "../../../src/engine/process/process.js";
import { sitesOf } from "./conversion-sites.js";
import { Gpu, HUGE, Machine, PAGE } from "./gpu.js";

const DESIGNS = [
  "today",
  "device-offset",
  "device-tuple",
  "memdesc8+device-name=tuple+device-record=device-private+activation=request",
];
const OWN_KIND = DESIGNS.slice(1);

/** All cases, and how many conversions they were: MEMDESC_ALL_CASES=1. */
const ALL = process.env["MEMDESC_ALL_CASES"] === "1";
/** Cases that together go through every path once. */
const SOME = new Set([
  "hmm.anon_read",
  "hmm.anon_write_child",
  "hmm.migrate_fault",
  "hmm.migrate_release",
  "hmm2.migrate_mixed",
  "hmm2.snapshot",
  "hmm2.double_map",
  "hmm.exclusive_cow",
  "hmm.hmm_gup_test",
  "hmm.hmm_cow_in_device",
  "hmm.migrate_anon_huge_fault",
  "hmm.migrate_anon_huge_err",
]);

/** Times that device-private pages were made numbers of, or found from them. */
const privatesOf = (uses: readonly ConversionUse[], does: ConversionUse["does"]): number =>
  uses.filter((u) => u.does === does).reduce((sum, u) => sum + u.privates, 0);

/** What told the readers of device-private numbers. */
const toldOf = (uses: readonly ConversionUse[]): string[] =>
  [
    ...new Set(
      uses.filter((u) => u.does === "reads" && u.privates > 0).map((u) => `${u.holder}: ${u.told}`),
    ),
  ].toSorted();

const SITES = new Map([...sitesOf("process"), ...sitesOf("device")].map((s) => [s.name, s.ways]));

/** A use by core code that docs/device-names.md does not list, or not so. */
function undocumented({ site, does, holder, told }: ConversionUse, own: boolean): string[] {
  if (!/^(process|device)\//.test(site)) return [];
  const ways = SITES.get(site) ?? [];
  const listed = ways.some(
    (w) => w.does === does && w.holder === holder && (own ? w.own : w.physical) === told,
  );
  // In checked runs the walk of HMM looks its pages up to tell of them.
  const looksUp = does === "reads" && ways.some((w) => w.holder === "HMM array");
  return listed || looksUp ? [] : [`${site} ${does}, ${holder}: ${told}`];
}

/** One case by itself: it throws where a line of its text does not hold. */
function runCase(rig: Rig, what: Case, variant: Variant): void {
  rig.kernel.setHugePages(what.hugePages ?? 0);
  const process = rig.kernel.createProcess();
  const numbers = FIXTURES[what.fixture][variant];
  const fds = numbers.map((n) => rig.open(n, process));
  const test = new Test(rig, process, { numbers, fds }, variant === "device_private", 1);
  what.run(test);
  test.freeAll();
  for (const fd of fds) rig.close(fd);
  test.exit();
}

describe("cases of the HMM self-tests", () => {
  it.each(DESIGNS)("%s: every number has a kind, and leads to the page it was made for", (name) => {
    const rig = new Rig(parseDesign(name), { largest: 1, seed: 1, now: () => 0 });
    const provenance = Provenance.watch(rig.devices);
    const cases = CASES.filter((c) => ALL || SOME.has(c.name));
    expect(cases).toHaveLength(ALL ? CASES.length : SOME.size);
    for (const c of cases) for (const v of VARIANTS) runCase(rig, c, v);
    const uses = provenance.uses();
    const times = uses.reduce((sum, u) => sum + u.times, 0);
    if (ALL) process.stdout.write(`${name}: ${times} conversions\n`);
    expect(provenance.violations).toEqual([]);
    expect(provenance.unknown()).toEqual([]);
    expect(privatesOf(uses, "makes")).toBeGreaterThan(10_000);
    expect(privatesOf(uses, "reads")).toBeGreaterThan(20_000);
    const own = rig.devices.naming.ownKind;
    expect(toldOf(uses)).toEqual(
      own
        ? ["HMM array: array flag", "migrate array: array flag", "page table: entry type"]
        : [
            // Device-private entries say so; whatever else has a pfn, only its struct page can say.
            "HMM array: struct page",
            "migrate array: struct page",
            "page table: entry type",
            "page table: struct page",
          ],
    );
    expect(uses.flatMap((u) => undocumented(u, own))).toEqual([]);
    // Where numbers have a kind, none that is a device's is ever taken for a pfn.
    const mixed = uses.filter((u) => own && u.privates > 0 && u.kind === "pfn");
    expect(mixed).toEqual([]);
  });
});

/** A process with pages of RAM, of a device, huge ones, and a child that shares them. */
function busy(design: string): {
  m: Machine;
  gpu: Gpu;
  process: Process;
  child: Process;
  addr: number;
} {
  const m = new Machine(`${design}+peer=alias`, null, { memory: "32MiB" });
  const { devices } = m;
  const bar = devices.mapPages({
    name: "bar",
    type: MEMORY_DEVICE_PCI_P2PDMA,
    ranges: [{ start: devices.base.core.machine.deviceFirst, pages: 4 * HUGE }],
  });
  const gpu: Gpu = new Gpu(m, 4 * HUGE, {
    ops: {
      folioFree: () => {},
      migrateToRam: (fault) => gpu.bringBack(fault),
      dmaAlias: (page) => bar.pageAt(gpu.map.offsetOf(page)),
      memoryFailure: () => 0,
    },
  });
  const { process, addr } = m.process(2 * HUGE, true);
  process.write(addr, new Uint8Array(HUGE * PAGE).fill(1));
  process.write(addr + HUGE * PAGE, new Uint8Array([2]));
  gpu.take(process, addr, HUGE, 0);
  const single = m.process(16);
  single.process.write(single.addr, new Uint8Array(16 * PAGE).fill(3));
  gpu.take(single.process, single.addr, 8, HUGE);
  return { m, gpu, process, child: process.fork(), addr };
}

/** Somebody else's device looks at a stretch and is given aliases. */
function peer(devices: Devices, process: Process, addr: number): number {
  const { notifiers } = devices.base;
  const pages = 8;
  const notifier = notifiers.insert(process.mm, addr / PAGE, pages, { invalidate: () => true });
  const pfns = new Int32Array(pages * 2);
  const range = {
    mm: process.mm,
    notifier,
    notifierSeq: notifiers.readBegin(notifier),
    start: addr / PAGE,
    end: addr / PAGE + pages,
    pfns,
    defaultFlags: 0,
    pfnFlagsMask: 0,
    owner: {},
    allowP2p: true,
  };
  expect(devices.hmm.hmmRangeFaultLocking(range)).toBe(0);
  notifiers.remove(notifier);
  for (let i = 0; i < pages; i++) devices.hmm.page(pfns, i);
  return pfns[1] & HMM_PFN_VALID;
}

/** Every walker over raw pfns. */
function walkAll(pfns: RawPfns): void {
  new PageFlagsFile(pfns).readAll();
  const idle = new IdlePages(pfns);
  for (const { start, end } of pfns.stretches()) {
    idle.mark(start, end);
    idle.isIdle(start);
    new Offlining(pfns).scan(start, 512);
  }
  new Hibernation(pfns).count();
  new CrashDumps(pfns).count(31);
  const failures = new MemoryFailures(pfns);
  for (const { start } of pfns.stretches().slice(1)) failures.report(start);
}

describe("walkers over raw pfns", () => {
  it.each(DESIGNS)("%s", (design) => {
    const { m } = busy(design);
    walkAll(new RawPfns(m.devices));
    const raw = m.provenance.uses().filter((u) => u.holder === "raw scan");
    const met = raw.filter((u) => u.privates > 0).map((u) => `${u.site}: ${u.told}`);
    // All others ask for the online page, and are given none.
    expect(met).toEqual(
      m.devices.naming.ownKind
        ? []
        : ["device/raw-walkers/memory-failure.ts MemoryFailures.#device: struct page"],
    );
    expect(m.provenance.violations).toEqual([]);
  });
});

describe("other holders of numbers", () => {
  it.each(DESIGNS)(
    "%s: a peer's alias is a pfn by contract, and its page map says whose",
    (design) => {
      const { m, process, addr } = busy(design);
      expect(peer(m.devices, process, addr)).not.toBe(0);
      const answers = m.provenance.uses().filter((u) => u.holder === "answer");
      expect(answers.map((u) => [u.site, u.told, u.kind])).toEqual([
        ["device/hmm/peers.ts Peers.aliasOf", "caller", "pfn"],
      ]);
      expect(m.provenance.violations).toEqual([]);
    },
  );

  it.each(DESIGNS)("%s: a page snapshot's number goes with its page", (design) => {
    const { m, gpu } = busy(design);
    snapshotPage(m.devices, gpu.map.pageAt(0), "snapshot");
    snapshotPage(m.devices, gpu.map.pageAt(HUGE), "caller");
    snapshotPage(m.devices, 3, "snapshot");
    expect(m.provenance.violations).toEqual([]);
    expect(m.provenance.unknown()).toEqual([]);
  });
});

describe("nothing is left out", () => {
  it.each(DESIGNS)("%s: as many lookups of the naming as were told", (design) => {
    const m = new Machine(design);
    const { naming } = m.devices;
    const calls = { find: 0, low: 0 };
    const find = naming.find.bind(naming);
    const numberLow = naming.numberLow.bind(naming);
    naming.find = (lo, hi) => (calls.find++, find(lo, hi));
    naming.numberLow = (page, map) => (calls.low++, numberLow(page, map));
    const gpu = new Gpu(m, 4 * HUGE);
    const { process, addr } = m.process(HUGE, true);
    process.write(addr, new Uint8Array([1]));
    gpu.take(process, addr, HUGE, 0);
    const child = process.fork();
    child.munmap(addr, 8 * PAGE);
    gpu.evict(Array.from({ length: HUGE }, (_, i) => i));
    child.read(addr + 9 * PAGE, 1);
    process.write(addr + 9 * PAGE, new Uint8Array([2]));
    const uses = m.provenance.uses();
    expect(calls.find).toBe(privatesOf(uses, "reads"));
    expect(calls.low).toBe(privatesOf(uses, "makes"));
    expect(calls.find).toBeGreaterThan(HUGE);
    expect(m.provenance.violations).toEqual([]);
  });

  it.each(DESIGNS)("%s: every entry in a page table is one that was made", (design) => {
    const { m } = busy(design);
    const { devices, kernel, provenance } = m;
    const frames: number[] = [];
    let entries = 0;
    for (const { mm } of kernel.processes.values())
      for (const { lo, hi, there, pfn } of walkTables(devices.base, mm).entries) {
        if (there) frames.push(pfn);
        if (there) continue;
        entries++;
        const page = devices.numbers.find(lo, hi);
        expect(page).toBeGreaterThanOrEqual(devices.firstPrivate);
        expect(provenance.madeFor(IN_PAGE_TABLE, lo, hi)).toBe(page);
      }
    expect(entries).toBeGreaterThan(8);
    // A present entry's number is a frame: no device-private page is ever present.
    expect(Math.max(...frames)).toBeLessThan(devices.firstPrivate);
  });

  it("a fast run has no witness", () => {
    const { devices } = new Machine("device-offset");
    Provenance.watch(devices).stop();
    expect([devices.base.core.witness, devices.numbers.witness]).toEqual([null, null]);
  });
});

describe("the rules of numbers fire", () => {
  it.each(OWN_KIND)(
    "%s: a flag that is lost, a flag too much, a number that nobody made",
    (design) => {
      const { m, gpu } = busy(design);
      const { pfns } = m.devices;
      const page = gpu.map.pageAt(HUGE);
      const array = new Int32Array(2);
      const broken = (act: () => void): string[] => {
        const before = m.provenance.violations.length;
        act();
        return m.provenance.violations.slice(before).map((v) => v.rule);
      };
      pfns.set(array, 0, page, 0);
      expect(broken(() => pfns.page(array, 0))).toEqual([]);
      array[0] &= ~MIGRATE_PFN_DEVICE_PRIVATE;
      // Read as a pfn it leads to a frame: by itself that is a number like any other …
      expect(broken(() => pfns.page(array, 0))).toEqual([]);
      // … which is why it must not be made so.
      m.devices.mutants.set("coherent-mix");
      const coherent = m.devices.base.core.machine.deviceFirst;
      expect(broken(() => pfns.set(array, 0, coherent, 0))).toEqual([MARKED_AS_IT_IS]);
      m.devices.mutants.set("coherent-mix", false);
      pfns.set(array, 0, gpu.map.pageAt(HUGE + 1), 0);
      array[0] += 100 << 6;
      expect(broken(() => pfns.page(array, 0))).toEqual([LEADS_BACK]);
    },
  );

  it("device-offset: two pages in service with one number", () => {
    const { m, gpu } = busy("device-offset");
    const { naming, numbers } = m.devices;
    const [one, other] = [gpu.map.pageAt(HUGE), gpu.map.pageAt(HUGE + 1)];
    const low = naming.numberLow.bind(naming);
    naming.numberLow = (_page, map) => low(one, map);
    numbers.privateEntry(other, false);
    naming.numberLow = low;
    expect(m.provenance.violations.map((v) => v.rule)).toEqual([ONE_NUMBER_ONE_PAGE]);
  });
});
