/**
 * The lookup protocol against free and reuse, as programs for an explorer.
 *
 * Thread A finds the folio of a page without a lock (pages/lookup.ts), checks
 * that what it holds owns the page, and puts it. Thread B meanwhile drops the
 * last reference but A's and reuses what was freed: the descriptor for another
 * page, the page for another type, or the descriptor's own memory for
 * descriptors of another type. Both run the engine's own functions on one
 * machine of 1,024 frames with two CPUs, A on CPU 0 and B on CPU 1.
 *
 * What allocates and frees is serialised by one lock word, which stands for the
 * zone lock and the slab lists' locks (the engine has none of its own); lookups
 * take none. It lies in the arena's first page, which the machine leaves unused.
 */
import type { Design } from "../engine/design/presets.js";
import { T_FILE, T_PGTABLE, T_SLAB } from "../engine/design/word/axis-types.js";
import { Machine } from "../engine/machine.js";
import {
  folioOf,
  putFolioRef,
  tryGetFolio,
  type FreeBlock,
  type LookupMutants,
} from "../engine/pages/lookup.js";
import { MIGRATE_MOVABLE, MIGRATE_UNMOVABLE, PAGEBLOCK_PAGES } from "../engine/pages/zones.js";
import { CheckedWords, type Logged } from "../engine/words/checked.js";
import { PlainWords } from "../engine/words/plain.js";
import { bytes, ref, type Bytes } from "../units.js";
import { cacheOf, namerOf } from "./places.js";
import { type Program, Violation } from "./program.js";

/** What thread B does with what it freed. */
export type Reuse =
  /** The descriptor describes a folio on another frame; for overlays: the head page becomes a folio without the tail. */
  | "folio"
  /** The page becomes a page table, or a slab. */
  | "page-table"
  | "slab"
  /** The descriptor's page goes back to the allocator and holds descriptors of page tables. */
  | "descriptor-page";

/** Parts of the programs that may be left out or moved on purpose. */
export interface LookupFaults extends LookupMutants {
  /** A puts its reference inside an RCU read section of its own. */
  readonly putInSection?: boolean;
}

const FRAMES = 2 * PAGEBLOCK_PAGES;
const LOCK = ref(16);
const CPU_A = 0;
const CPU_B = 1;
/** Free pages that B finds on its per-CPU list: its paths are then short. */
const SPARE_PAGES = 3;
/** Per-CPU lists that keep what they are given, or pass it on to the buddy lists at once. */
const PCP_HIGH = 500;
const PCP_ALWAYS_DRAINED = 1;

/** A machine in the state that a reuse needs, and the frames that it is about. */
interface Stage {
  readonly machine: Machine;
  /** The page that A looks up. */
  readonly page: number;
  /** First frame of its folio. */
  readonly head: number;
  /** A driver takes the freed page before B allocates, so that the descriptor goes to another one. */
  readonly driverTakesPage: boolean;
}

/** The program for one design, one reuse and what is left out; null where the design has no such reuse. */
export function lookupProgram(
  design: Design,
  reuse: Reuse,
  faults: LookupFaults = {},
): Program | null {
  let words = new CheckedWords(new PlainWords(bytes(0)));
  const stage = stageFor(reuse, (high) =>
    boot(design, high, (size) => (words = new CheckedWords(new PlainWords(size)))),
  );
  if (stage === null) return null;
  const { machine, page, head, driverTakesPage } = stage;
  const taken = driverTakesPage ? 2 : 1;
  const balance = accountedFrames(machine) + 2 ** machine.design.orderOf(head) - taken;
  return {
    words,
    threads: [
      { name: "A: lookup", run: () => lookUp(stage, faults) },
      { name: "B: free and reuse", run: () => freeAndReuse(stage, reuse) },
    ],
    pages: page === head ? [page] : [head, page],
    watch: (thread, made) => (thread === 0 ? typeConfusion(machine, made) : null),
    finalCheck: ([, reused]) => finalState(machine, reuse, reused, balance),
    nameOf: namerOf(machine, new Map([[LOCK, "lock"]])),
  };
}

function boot(design: Design, high: number, makeWords: (size: Bytes) => CheckedWords): Machine {
  const zone = { node: 0, type: 1, start: 0, spanned: FRAMES, min: 0, low: 0, high: 0, reserve: 0 };
  const present = [{ start: 0, end: FRAMES }];
  const machine = Machine.boot(
    { frames: FRAMES, zones: [zone], present, cpus: 2, pcp: [{ high, batch: 1 }] },
    design,
    makeWords,
  );
  machine.giveRange(0, FRAMES);
  machine.allocator.cpu = CPU_B;
  return machine;
}

const endOfPageArray = ({ design, config }: Machine): number =>
  design.wordsOf(0).ref + (config.frames * design.pageBytes) / 16;

function stageFor(reuse: Reuse, boot: (high: number) => Machine): Stage | null {
  const machine = boot(PCP_HIGH);
  // One slab descriptor stays in use, so that giving back a folio's slab does not cascade.
  machine.allocTyped(0, T_SLAB);
  const page = machine.allocFolio(0, T_FILE);
  const separate = machine.design.descriptorOf(page) >= endOfPageArray(machine);
  if (reuse === "folio") {
    if (!separate) return headWithoutTail(boot(PCP_ALWAYS_DRAINED));
    sparePages(machine, MIGRATE_MOVABLE);
    return { machine, page, head: page, driverTakesPage: true };
  }
  if (reuse === "descriptor-page" && !separate) return null;
  // Descriptors of page tables and slabs have a slab with room, as in a machine that has run for a while.
  if (reuse !== "descriptor-page")
    for (const type of [T_PGTABLE, T_SLAB]) machine.freeTyped(machine.allocTyped(0, type));
  // The folio lies in an unmovable pageblock, so that its page may become what is not movable.
  machine.allocator.drainAll();
  const block = page - (page % PAGEBLOCK_PAGES);
  if (machine.zones.migrateTypeOf(page) === MIGRATE_MOVABLE)
    machine.buddy.moveBlock(0, block, MIGRATE_MOVABLE, MIGRATE_UNMOVABLE);
  sparePages(machine, MIGRATE_UNMOVABLE);
  return { machine, page, head: page, driverTakesPage: false };
}

/** Free pages that B finds on its per-CPU list. */
function sparePages(machine: Machine, migrateType: number): void {
  const pages = Array.from({ length: SPARE_PAGES }, () => machine.allocPages(0, migrateType));
  for (const pfn of pages) machine.freePages(pfn, 0);
}

/**
 * The folio's block will be the smallest free one and be split: its head is
 * reused, its tail is not. A larger block is there for when A holds the folio.
 */
function headWithoutTail(machine: Machine): Stage {
  const head = machine.allocFolio(1, T_FILE);
  const larger = machine.allocPages(2, MIGRATE_MOVABLE);
  // What a folio of order 0 has beside its page must not need a page itself.
  machine.allocFolio(0, T_FILE);
  while (machine.allocPages(0, MIGRATE_MOVABLE) >= 0);
  machine.freePages(larger, 2);
  return { machine, page: head + 1, head, driverTakesPage: false };
}

function lock(machine: Machine): void {
  do machine.w.await32(LOCK, 0, 0);
  while (!machine.w.cas32(LOCK, 0, 0, 1));
}

const unlock = (machine: Machine): void => machine.w.store32(LOCK, 0, 0);

/** Thread A. */
function lookUp({ machine, page }: Stage, faults: LookupFaults): number | Violation {
  machine.allocator.cpu = CPU_A;
  const free: FreeBlock = (_, pfn) => {
    lock(machine);
    machine.freeTyped(pfn);
    unlock(machine);
  };
  if (faults.putInSection === true) machine.rcu.readLock(CPU_A);
  const folio = tryGetFolio(machine, CPU_A, page, faults, free);
  if (folio !== 0) {
    if (folioOf(machine, page) !== folio)
      return new Violation(`A holds a folio that page ${page} does not belong to`);
    putFolioRef(machine, folio, free);
  }
  if (faults.putInSection === true) machine.rcu.readUnlock(CPU_A);
  return folio;
}

/** Thread B: the frame that it has in the end. */
function freeAndReuse({ machine, head, driverTakesPage }: Stage, reuse: Reuse): number | Violation {
  machine.allocator.cpu = CPU_B;
  lock(machine);
  machine.putFolio(head);
  if (reuse === "descriptor-page") machine.caches.shrink();
  unlock(machine);
  lock(machine);
  if (driverTakesPage) machine.allocPages(0, MIGRATE_MOVABLE);
  const pfn =
    reuse === "folio"
      ? machine.allocFolio(0, T_FILE)
      : machine.allocTyped(0, reuse === "slab" ? T_SLAB : T_PGTABLE);
  unlock(machine);
  return pfn < 0 ? new Violation(`B got no memory (${pfn})`) : pfn;
}

/** A's reference count lands in memory that is no folio. */
function typeConfusion(machine: Machine, { access, lo }: Logged): string | null {
  const { design, caches } = machine;
  if (
    access.kind !== "cas32" ||
    lo === 0 ||
    access.ref === LOCK ||
    access.ref < endOfPageArray(machine)
  )
    return null;
  const cache = cacheOf(machine, access.ref);
  if (cache === design.cacheFor(T_FILE, 0)) return null;
  if (cache < 0)
    return "type confusion: A took a reference in memory that holds no descriptors any more";
  return `type confusion: A took a reference in a descriptor of ${caches.specs[cache].name}`;
}

/** Frames that are free or hold descriptors: what B and A together may not change but by what B keeps. */
function accountedFrames(machine: Machine): number {
  let frames = machine.buddy.freePages(0);
  machine.allocator.forEachPcp((_pfn, order) => (frames += 1 << order));
  for (const cache of machine.caches.usage()) frames += cache.slabs;
  return frames;
}

/** Nothing is lost, and what B has is whole. */
function finalState(machine: Machine, reuse: Reuse, pfn: number, balance: number): string | null {
  const { design, w } = machine;
  const wanted = reuse === "folio" ? T_FILE : reuse === "slab" ? T_SLAB : T_PGTABLE;
  if (design.typeOf(pfn) !== wanted)
    return `page ${pfn} is of type ${design.typeOf(pfn)}, not ${wanted}`;
  const count = w.load32(design.descriptorOf(pfn), design.folio.refcount);
  if (reuse === "folio" && count !== 1)
    return `the folio of page ${pfn} has ${count} references, not 1`;
  const frames = accountedFrames(machine);
  return frames === balance
    ? null
    : `${frames} frames are free or hold descriptors, not ${balance}`;
}
