/**
 * From a page to its folio without a lock: the lookup protocol of memory
 * descriptors.
 *
 * Inside an RCU read section: read the word that names the owner, check that it
 * is a folio, take a reference unless the count is zero, read the word again. A
 * descriptor may be freed and become another of its type between any two of
 * these steps; it cannot become memory of another type before the section ends
 * (SLAB_TYPESAFE_BY_RCU). Once the second read agrees the reference pins both
 * the folio and its binding to the page. Where the word does not hold the type
 * (struct page and typed slots are overlays, their owner word is an address),
 * the type is read again too: with the reference held it no longer changes.
 *
 * A reference that turned out to be somebody else's is put after the section:
 * it may be the last one, and freeing has no place in a read section.
 *
 * Source: memdesc-facts §1.1 (what a lookup is [derived]); folio_try_get and the
 * page_folio re-check of mm/gup.c (try_get_folio) in 6.18. Simplified: kernels
 * retry in the caller, so do callers here.
 */
import type { Ref } from "../../units.js";
import { blockOfDescriptor } from "../design/word/axis-descriptors.js";
import type { PageDesign } from "../design/word/axis.js";
import { isFolioType, T_FILE } from "../design/word/axis-types.js";
import type { Rcu } from "../rcu.js";
import type { Words } from "../words/words.js";

/** What a lookup needs of a machine; `Machine` is one. */
export interface LookupMachine {
  readonly w: Words;
  readonly design: PageDesign;
  readonly rcu: Rcu;
  readonly config: { readonly frames: number };
  freeTyped(pfn: number): void;
}

/** Steps of the protocol left out on purpose, to show that each is needed. None by default. */
export interface LookupMutants {
  /** Trusts the reference without reading the owner again. */
  readonly skipRecheck?: boolean;
  /** Does not enter an RCU read section. */
  readonly noReadSection?: boolean;
  /** Takes a reference on a count of zero too. */
  readonly getWithoutZeroCheck?: boolean;
}

/** Gives back a folio's block: `machine.freeTyped`, or that under a lock where several threads run. */
export type FreeBlock = (machine: LookupMachine, pfn: number) => void;

const NO_MUTANTS: LookupMutants = {};
const NO_FOLIO = 0 as Ref;
const freeNow: FreeBlock = (machine, pfn) => machine.freeTyped(pfn);

/**
 * The folio that page `pfn` belongs to, with a reference that the caller must
 * put; 0 if the page is no folio, is being freed, or changed its owner
 * meanwhile (then a caller that must know tries again, as after -EAGAIN).
 *
 * Designs whose owner word has no type (today, slot64) answer for what their
 * word can tell: `today` takes a bare page with a reference count for a folio,
 * as the kernel's page_folio does.
 */
export function tryGetFolio(
  machine: LookupMachine,
  cpu: number,
  pfn: number,
  mutants: LookupMutants = NO_MUTANTS,
  free: FreeBlock = freeNow,
): Ref {
  const section = mutants.noReadSection !== true;
  if (section) machine.rcu.readLock(cpu);
  const { design, w } = machine;
  const lo = design.ownerWord(pfn);
  const hi = w.hi;
  const folio = design.folioOfOwner(lo, hi);
  const got =
    folio !== 0 && tryGet(w, folio, design.folio.refcount, mutants.getWithoutZeroCheck === true);
  const same = got && (mutants.skipRecheck === true || isStillOwner(design, w, pfn, lo, hi, folio));
  if (section) machine.rcu.readUnlock(cpu);
  if (same) return folio;
  if (got) putFolioRef(machine, folio, free);
  return NO_FOLIO;
}

/**
 * folio_try_get: one more reference unless there is none. Counts below zero are
 * no references either: a typed slot that is unused has all ones.
 */
function tryGet(w: Words, folio: Ref, refcount: number, evenFromZero: boolean): boolean {
  for (;;) {
    const count = w.load32(folio, refcount);
    if (count <= 0 && !evenFromZero) return false;
    if (w.cas32(folio, refcount, count, count + 1)) return true;
  }
}

/** The second read: the page still names this folio. */
function isStillOwner(
  design: PageDesign,
  w: Words,
  pfn: number,
  lo: number,
  hi: number,
  folio: Ref,
): boolean {
  const again = design.ownerWord(pfn);
  return again === lo && w.hi === hi && design.folioOfOwner(lo, hi) === folio;
}

/**
 * The folio of a page that cannot change meanwhile (held, or nobody else runs);
 * 0 for a page that is no folio.
 */
export function folioOf(machine: LookupMachine, pfn: number): Ref {
  const { design } = machine;
  return isFolioType(design.typeOf(pfn)) ? design.descriptorOf(pfn) : NO_FOLIO;
}

/**
 * First frame of a folio that is held: an overlay lies in the page array, where
 * its place says the frame; a descriptor of its own says it in its pfn.
 */
export function pfnOfFolio(machine: LookupMachine, folio: Ref): number {
  const { design } = machine;
  const bytes = (folio - design.wordsOf(0).ref) * 16;
  const index = bytes / design.pageBytes;
  if (index >= 0 && index < machine.config.frames) return index;
  return blockOfDescriptor(machine.w, folio, T_FILE);
}

/** folio_put on a reference that `tryGetFolio` gave: the last one frees the folio. Allocates nothing. */
export function putFolioRef(machine: LookupMachine, folio: Ref, free: FreeBlock = freeNow): void {
  const left = machine.w.add32(folio, machine.design.folio.refcount, -1);
  if (left === 0) free(machine, pfnOfFolio(machine, folio));
}
