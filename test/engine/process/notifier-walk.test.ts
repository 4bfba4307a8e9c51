/**
 * Nothing that a page table says is taken back unheard: whatever a random program
 * does, an entry that goes, leads elsewhere or loses a right lies in a range that
 * was told while the entry was still as before; and between two operations every
 * process's notifiers are at rest.
 *
 * A device that mirrors the table (HMM) rests on this and on nothing else.
 */
import { describe, expect, test } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { PTE_PRESENT, PTE_PROTNONE, PTE_WRITE } from "../../../src/engine/process/entry.js";
import type { Kernel } from "../../../src/engine/process/kernel.js";
import { walkTables } from "../../../src/engine/sanitizer/process/entries.js";
import {
  startWalk,
  WALK_MACHINES,
  type WalkMachine,
} from "../../../src/engine/sanitizer/process/machines.js";
import { numbers } from "../../../src/engine/sanitizer/process/program.js";
import type { Ref } from "../../../src/units.js";
import { told } from "./kernels.js";

const STEPS = 250;
/** Every page that a process can have. */
const EVERYTHING = 2 ** 31;

/** What the table says of each page: its frame, and whether it may be read and written. */
type Pages = Map<number, { readonly pfn: number; readonly rights: number }>;

function pagesOf({ base }: Kernel, mm: Ref): Pages {
  const pages: Pages = new Map();
  for (const { vpn, lo, huge, there, pfn } of walkTables(base, mm).entries) {
    const mapped = there ? (huge ? 512 : 1) : 0;
    for (let i = 0; i < mapped; i++)
      pages.set(vpn + i, { pfn: pfn + i, rights: lo & (PTE_PRESENT | PTE_WRITE | PTE_PROTNONE) });
  }
  return pages;
}

/** Whether something that was so is no longer. More rights take nothing back. */
function lost(
  was: { pfn: number; rights: number },
  is: { pfn: number; rights: number } | undefined,
): boolean {
  if (is === undefined || is.pfn !== was.pfn) return true;
  return (was.rights & ~is.rights & (PTE_PRESENT | PTE_WRITE)) !== 0;
}

/** Listens to all of a process, and compares what it heard with what became of its table. */
class Auditor {
  readonly kernel: Kernel;
  readonly mm: Ref;
  readonly sub: Ref;
  heard = 0;
  #before: Pages;
  #told: (readonly [number, number])[] = [];

  constructor(kernel: Kernel, mm: Ref) {
    const { notifiers } = kernel.base;
    this.kernel = kernel;
    this.mm = mm;
    this.sub = notifiers.insert(mm, 0, EVERYTHING, {
      invalidate: ({ start, end }, seq, sub) => {
        notifiers.setSeq(sub, seq);
        this.heard++;
        // What changed until now must have been told before now.
        this.complain();
        this.#told.push([start, end]);
        return true;
      },
    });
    // From here on: what was reclaimed for the notifier itself went before.
    this.#before = pagesOf(kernel, mm);
  }

  /** Throws for a page that lost something unheard. */
  complain(): void {
    const now = pagesOf(this.kernel, this.mm);
    for (const [vpn, was] of this.#before)
      if (lost(was, now.get(vpn)) && !this.#told.some(([start, end]) => start <= vpn && vpn < end))
        throw new Error(`page ${vpn} of frame ${was.pfn} changed unheard`);
  }

  /** The operation has ended. */
  audit(): void {
    this.complain();
    this.#before = pagesOf(this.kernel, this.mm);
    this.#told = [];
  }
}

/** Runs a program with an auditor on every process: how much they heard, what the sanitizer found. */
function run(
  machine: WalkMachine,
  design: string,
  seed: number,
): { heard: number; found: string[] } {
  const walk = startWalk(machine, parseDesign(design));
  const { kernel } = walk.state;
  const { notifiers } = kernel.base;
  const auditors = new Map<Ref, Auditor>();
  const next = numbers(seed);
  const found: string[] = [];
  let heard = 0;
  const follow = (alive: ReadonlySet<Ref>): void => {
    for (const [mm, auditor] of auditors) {
      if (alive.has(mm)) auditor.audit();
      else {
        heard += auditor.heard;
        notifiers.remove(auditor.sub);
        auditors.delete(mm);
      }
    }
    for (const mm of alive) {
      if (auditors.has(mm)) continue;
      const auditor = new Auditor(kernel, mm);
      // A machine that is full has no room for it.
      if (auditor.sub > 0) auditors.set(mm, auditor);
    }
    // Room for a notifier may have been made by taking pages.
    for (const auditor of auditors.values()) auditor.audit();
  };
  for (let i = 0; i < STEPS; i++) {
    walk.step(Number(next.next().value));
    follow(new Set(walk.state.lives.map(({ process }) => process.mm)));
    if (i % 50 === 49) found.push(...told(walk.check()));
  }
  follow(new Set());
  found.push(...told(walk.finish()));
  return { heard, found };
}

describe.each(WALK_MACHINES)("$name", (machine) => {
  test.each(["today", "page32+mapcount=per-folio", "memdesc8"])("%s", (design) => {
    for (const seed of [1, 2]) {
      const { heard, found } = run(machine, design, seed);
      expect(found).toEqual([]);
      expect(heard).toBeGreaterThan(20);
    }
  });
});
