/**
 * What a walk over a kernel's processes stands on: the processes and files beside
 * their references, what is pinned, and how an outcome is compared.
 *
 * Where the engine has a choice (an address, what is left after memory ran out)
 * the reference follows it, after checking that the choice was a legal one.
 */
import { MISC_UNKNOWN, T_MISC } from "../../design/word/axis-types.js";
import { MmError, RuleViolation, SignalError } from "../../errors.js";
import { VM_DONTCOPY, VM_WIPEONFORK } from "../../process/constants.js";
import type { Kernel } from "../../process/kernel.js";
import type { OpenFile } from "../../process/open-file.js";
import type { PagemapEntry, Process } from "../../process/process.js";
import type { UserPages } from "../../process/user-pages.js";
import { Devices } from "./devices.js";
import type { Draw } from "./program.js";
import { newCell, type RefProcess, type Cell, type RefObject, type RefPage } from "./reference.js";
import type { HeldFolio, Holdings } from "./shape.js";

const PAGE = 4096;
const HUGE = 512;
/** Steps stay below the end of the address space. */
const LAST = 0x7fffffff;
const BARE = { order: 0, type: T_MISC, subtype: MISC_UNKNOWN, refs: 0 } as const;
export const SAME = "the engine does what the reference says";

/** A process and what it should be. */
export interface Live {
  readonly process: Process;
  readonly ref: RefProcess;
}

export interface LiveFile {
  readonly file: OpenFile;
  readonly object: RefObject;
}

/** Pages held by GUP, and the cell that each was when it was got; null reads as zeroes. */
export interface Pin {
  readonly pages: UserPages;
  readonly cells: readonly (Cell | null)[];
  /** FOLL_PIN: what it holds is the process's page. With FOLL_GET only its count is sure. */
  readonly pinned: boolean;
  /** It may be written through. */
  readonly write: boolean;
  readonly pid: number;
}

export interface WalkOptions {
  /** Memory may run out: ENOMEM and SIGKILL are no failures of the walk. */
  readonly mayFail: boolean;
  /** Most processes at a time. */
  readonly processes?: number;
  /** Pages that are left free when it begins: the rest is somebody else's till the end. */
  readonly leave?: number;
}

/** Pages of a process, from `start` up to `end`. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

export class WalkState {
  readonly kernel: Kernel;
  readonly options: WalkOptions;
  readonly lives: Live[] = [];
  readonly files: LiveFile[] = [];
  readonly pins: Pin[] = [];
  /** Drivers' memory and scattered memory. */
  readonly devices: Devices;
  /** Pages taken so that memory runs out. */
  readonly taken: number[] = [];
  /** What each step was, for a report. */
  doing = "";
  steps = 0;
  /** Operations refused for want of memory. */
  failures = 0;
  /** Mappings that lost huge pages before this step. */
  #taken = 0;

  constructor(kernel: Kernel, options: WalkOptions) {
    this.kernel = kernel;
    this.options = options;
    this.devices = new Devices(kernel);
    const { machine } = kernel;
    const free = (): number =>
      machine.config.zones.reduce((sum, _zone, i) => sum + machine.buddy.freePages(i), 0);
    while (options.leave !== undefined && free() > options.leave) {
      const pfn = machine.allocPages(0);
      if (pfn < 0) break;
      this.taken.push(pfn);
    }
  }

  /** What the sanitizer must be told: pins, and the pages taken. */
  holdings(): Holdings {
    const taken = this.taken.map((pfn) => ({ ...BARE, pfn }));
    const users = { refs: this.lives.map((l) => l.ref), cells: this.pins.flatMap((p) => p.cells) };
    const blocks = [...taken, ...this.devices.blocks(users)];
    return { folios: [...this.held(), ...this.devices.folios()], blocks };
  }

  /** Gives the pages taken back. */
  giveBack(): void {
    for (const pfn of this.taken.splice(0)) this.kernel.machine.freePages(pfn, 0);
  }

  fail(detail: string, pfn = -1): never {
    throw new RuleViolation(SAME, pfn, `step ${this.steps}, ${this.doing}: ${detail}`);
  }

  /** "" where it went well, else the errno's or signal's name. */
  outcome(run: () => void): string {
    try {
      run();
      return "";
    } catch (error) {
      if (error instanceof MmError) return error.code;
      if (error instanceof SignalError) return error.signal;
      throw error;
    }
  }

  /** True where both say that it went well; false where it was refused as it must or may be. */
  agree(got: string, must: string): boolean {
    const short = got === "ENOMEM" || got === "SIGKILL";
    if (got === must) return got === "";
    if (short && this.options.mayFail) {
      this.failures++;
      return false;
    }
    return this.fail(`${got === "" ? "it was done" : got}, the reference says ${must || "done"}`);
  }

  /** Whether no page of the pool can be had without a promise. */
  poolIsEmpty(): boolean {
    const { hugetlb } = this.kernel;
    return hugetlb.free - hugetlb.reserved <= 0;
  }

  /** Whether the pool may refuse a huge page: it is empty, or its owner took one from the mapping. */
  poolMayRefuse({ process, ref }: Live, { start, end }: Range): boolean {
    const { hugetlb, base } = this.kernel;
    let pooled = false;
    for (let vpn = start; vpn < end; vpn++) {
      if (ref.pages.get(vpn)?.hugetlb !== true) continue;
      pooled = true;
      if (hugetlb.hasLost(base.vmas.tree.lookup(process.mm, vpn))) return true;
    }
    return pooled && this.poolIsEmpty();
  }

  /**
   * Huge pages that their owners took from others in this step, which only an
   * empty pool excuses: what was written there is gone.
   */
  followTakes(): void {
    const { hugetlb, base } = this.kernel;
    if (hugetlb.taken === this.#taken) return;
    this.#taken = hugetlb.taken;
    if (!this.poolIsEmpty()) this.fail("an owner took a huge page, and the pool has some");
    for (const live of this.lives)
      for (const [vpn, page] of live.ref.pages) {
        if (!page.hugetlb || page.own === null || this.pagemap(live, vpn).present) continue;
        if (hugetlb.hasLost(base.vmas.tree.lookup(live.process.mm, vpn))) page.own = null;
      }
  }

  pagemap(live: Live, vpn: number): PagemapEntry {
    return live.process.pagemap(vpn * PAGE);
  }

  /** Content of a frame. */
  frame(pfn: number): Uint8Array {
    const page = new Uint8Array(PAGE);
    this.kernel.base.core.content.read(pfn, 0, page);
    return page;
  }

  /** A stretch of pages around what a process has mapped; hugetlb pages are taken whole. */
  range(draw: Draw, live: Live): Range | null {
    const maps = live.process.maps();
    if (maps.length === 0) return null;
    const vma = draw.of(maps);
    const [first, last] = [vma.start / PAGE, vma.end / PAGE];
    let [start, end] = [first, last];
    if (!draw.once(4)) {
      start = first + draw.below(last - first);
      end = start + 1 + draw.below(Math.min(last - start, draw.of([1, 4, 16, 700])));
    }
    // Sometimes beyond its end: a gap, or the next one.
    if (draw.once(8)) end += 1 + draw.below(20);
    return this.whole(live, { start, end: Math.min(end, LAST) });
  }

  /** The same, borders moved out of hugetlb pages. */
  whole(live: Live, { start, end }: Range): Range {
    return {
      start: live.ref.cutsHuge(start) ? start - (start % HUGE) : start,
      end: live.ref.cutsHuge(end) ? end + HUGE - (end % HUGE) : end,
    };
  }

  /** A page of a VMA, or near one. */
  page(draw: Draw, live: Live): number {
    const maps = live.process.maps();
    if (maps.length === 0) return 0x10000 + draw.below(2048);
    const vma = draw.of(maps);
    const pages = (vma.end - vma.start) / PAGE;
    // Neighbours often: large folios and fault-around live from them.
    const near = draw.once(2) ? Math.min(pages, 16) : pages;
    const past = draw.once(24) ? 2 : 0;
    return vma.start / PAGE + draw.below(near + past);
  }

  /** After a refusal in the middle: pages that the engine has no more are gone, rights are its. */
  resync(live: Live, { start, end }: Range): void {
    const maps = live.process.maps();
    for (let vpn = start; vpn < end; vpn++) {
      const page = live.ref.pages.get(vpn);
      if (page === undefined) continue;
      const vma = maps.find((v) => v.start <= vpn * PAGE && v.end > vpn * PAGE);
      if (vma === undefined) live.ref.pages.delete(vpn);
      else {
        page.prot = vma.flags & 7;
        page.dontFork = (vma.flags & VM_DONTCOPY) !== 0;
        page.wipeOnFork = (vma.flags & VM_WIPEONFORK) !== 0;
        this.resyncOwn(live, vpn, page);
      }
    }
  }

  /** A private page of a file that the process has copied by now is its own. */
  resyncOwn(live: Live, vpn: number, page: RefPage): void {
    if (page.shared || page.object === null || page.own !== null) return;
    const is = this.pagemap(live, vpn);
    if (is.swapped || (is.present && !is.file && !is.zero))
      page.own = newCell(live.ref.content(page)?.data);
  }

  /** What a page holds must be what the cell says. */
  compare(bytes: Uint8Array, cell: Cell | null, where: string, pfn: number): void {
    if (cell === null || cell.data.size === 0) {
      const at = bytes.findIndex((b) => b !== 0);
      if (at >= 0) this.fail(`${where}: byte ${at} is ${bytes[at]}, it must be 0`, pfn);
      return;
    }
    if (cell.lazy && bytes.every((b) => b === 0)) return;
    let found = 0;
    for (const byte of bytes) if (byte !== 0) found++;
    for (const [at, byte] of cell.data)
      if (bytes[at] !== byte)
        this.fail(`${where}: byte ${at} is ${bytes[at]}, it must be ${byte}`, pfn);
    if (found !== cell.data.size)
      this.fail(`${where}: ${found} bytes are not 0, ${cell.data.size} were written`, pfn);
  }

  /** A cell that was freed lazily is what the frame shows, as it was or all zeroes before `then`. */
  settle(cell: Cell, bytes: Uint8Array, then: (cell: Cell) => void): void {
    const gone = newCell();
    then(cell);
    then(gone);
    const kept = [...cell.data].every(([at, byte]) => bytes[at] === byte);
    if (!kept) cell.data = gone.data;
  }

  /** What pins hold, for the sanitizer. */
  *held(): Generator<HeldFolio> {
    const { core } = this.kernel.base;
    for (const [i, pin] of this.pins.entries())
      for (const pfn of pin.pages.pfns)
        if (!core.isZeroPage(pfn) && !core.isHugeZero(pfn & -HUGE))
          yield {
            pfn,
            refs: pin.pinned ? 0 : 1,
            pins: pin.pinned ? 1 : 0,
            who: `pin ${i} of process ${pin.pages.pid}`,
          };
  }

  /** Which pin has a page of the folio that a frame belongs to; null for none. */
  whoHolds(pfn: number): string | null {
    const { design } = this.kernel.machine;
    const block = design.blockOf(pfn);
    const i = this.pins.findIndex(({ pages }) =>
      pages.pfns.some((held) => design.blockOf(held) === block),
    );
    return i < 0 ? null : `pin ${i}`;
  }

  /** The VMAs lie over the same pages, with the same rights. */
  #compareMaps({ process, ref }: Live): void {
    let pages = 0;
    for (const vma of process.maps()) {
      for (let vpn = vma.start / PAGE; vpn < vma.end / PAGE; vpn++, pages++)
        if (ref.pages.get(vpn)?.prot !== (vma.flags & 7))
          this.fail(
            `process ${process.pid}: page 0x${vpn.toString(16)} is mapped with rights ${vma.flags & 7}, it must be ${ref.pages.get(vpn)?.prot ?? "unmapped"}`,
          );
    }
    if (pages !== ref.pages.size)
      this.fail(`process ${process.pid}: ${pages} pages are mapped, it must be ${ref.pages.size}`);
  }

  /** Every frame that is mapped holds what it must; nothing that was written is gone. */
  compareAll(): void {
    for (const live of this.lives) {
      this.#compareMaps(live);
      for (const [vpn, page] of live.ref.pages) {
        const is = this.pagemap(live, vpn);
        const where = `process ${live.process.pid}, page 0x${vpn.toString(16)}`;
        const cell = live.ref.content(page);
        if (is.present) {
          if (live.ref.signal(vpn, false) === "SIGBUS")
            this.fail(`${where} is mapped beyond the end of its file`, is.pfn);
          this.compare(this.frame(is.pfn), cell, where, is.pfn);
        } else if (page.object?.kind === "device" && !page.gone)
          this.fail(`${where}: a page of a device is mapped no more`);
        else if (!is.swapped && page.own !== null && page.own.data.size > 0 && !page.own.lazy)
          this.fail(`${where}: what was written there is neither in memory nor in swap`);
      }
    }
    for (const [i, pin] of this.pins.entries())
      for (const [at, pfn] of pin.pages.pfns.entries())
        if (pin.pinned && pin.cells[at]?.cut !== true)
          this.compare(this.frame(pfn), pin.cells[at] ?? null, `pin ${i}, page ${at}`, pfn);
  }
}
