/**
 * Steps of a walk that move pages about: madvise, mremap, pins, migration,
 * compaction, reclaim, merging, splitting. None but a few kinds of advice changes
 * what a process sees.
 */
import * as c from "../../process/constants.js";
import { FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE } from "../../process/gup.js";
import type { UserPages } from "../../process/user-pages.js";
import type { Ref } from "../../../units.js";
import type { Draw } from "./program.js";
import { cellOf, punchHole, writeCell, type Cell, type RefPage } from "./reference.js";
import type { Live, Range, WalkState } from "./walk-state.js";

const PAGE = 4096;
const HUGE = 512;
/** End of the address space, in pages. */
const LAST = 0x7fffffff;
const ADVICE = [
  c.MADV_DONTNEED,
  c.MADV_DONTNEED,
  c.MADV_FREE,
  c.MADV_FREE,
  c.MADV_COLD,
  c.MADV_PAGEOUT,
  c.MADV_PAGEOUT,
  c.MADV_HUGEPAGE,
  c.MADV_HUGEPAGE,
  c.MADV_NOHUGEPAGE,
  c.MADV_COLLAPSE,
  c.MADV_DONTFORK,
  c.MADV_DOFORK,
  c.MADV_WIPEONFORK,
  c.MADV_KEEPONFORK,
  c.MADV_MERGEABLE,
  c.MADV_UNMERGEABLE,
  c.MADV_POPULATE_READ,
  c.MADV_POPULATE_WRITE,
  c.MADV_RANDOM,
  c.MADV_NORMAL,
  c.MADV_REMOVE,
];

/** What advice does to one page that is mapped: "" or its errno. */
function advisePage(live: Live, vpn: number, page: RefPage, range: Range, advice: number): string {
  const anonymous = page.object === null && !page.hugetlb;
  switch (advice) {
    case c.MADV_DONTNEED: {
      if (!page.hugetlb) live.ref.forget(vpn);
      else if (vpn === range.start && vpn % HUGE !== 0) return "EINVAL";
      else if (vpn - (vpn % HUGE) + HUGE <= range.end) live.ref.forget(vpn);
      return "";
    }
    case c.MADV_FREE:
      if (!anonymous) return "EINVAL";
      if (page.own !== null) page.own.lazy = true;
      return "";
    case c.MADV_COLD:
    case c.MADV_PAGEOUT:
      return page.hugetlb ? "EINVAL" : "";
    case c.MADV_DONTFORK:
    case c.MADV_DOFORK:
      page.dontFork = advice === c.MADV_DONTFORK;
      return "";
    case c.MADV_WIPEONFORK:
    case c.MADV_KEEPONFORK:
      if (advice === c.MADV_WIPEONFORK && !anonymous) return "EINVAL";
      page.wipeOnFork = advice === c.MADV_WIPEONFORK;
      return "";
    case c.MADV_REMOVE:
      if (page.object === null) return "EINVAL";
      if (!page.shared || (page.prot & 2) === 0) return "EACCES";
      punchHole(page.object, page.index * PAGE, PAGE);
      return "";
    case c.MADV_POPULATE_READ:
    case c.MADV_POPULATE_WRITE:
      return populate(live, vpn, page, advice === c.MADV_POPULATE_WRITE);
    default:
      return "";
  }
}

function populate(live: Live, vpn: number, page: RefPage, write: boolean): string {
  if ((page.prot & (write ? 2 : 1)) === 0) return "EINVAL";
  if (live.ref.signal(vpn, write) !== "") return "EFAULT";
  if (write) live.ref.writable(page);
  return "";
}

/** What advice for a range must come to; the reference is changed as far as it goes. */
function adviseRange(live: Live, range: Range, advice: number): string {
  const stops = advice === c.MADV_POPULATE_READ || advice === c.MADV_POPULATE_WRITE;
  let gap = "";
  for (let vpn = range.start; vpn < range.end; vpn++) {
    const page = live.ref.pages.get(vpn);
    if (page === undefined) {
      if (stops) return "ENOMEM";
      gap = "ENOMEM";
      continue;
    }
    const error = advisePage(live, vpn, page, range, advice);
    if (error !== "") return error;
  }
  return gap;
}

export function advise(s: WalkState, draw: Draw, live: Live): void {
  const range = s.range(draw, live);
  const advice = draw.of(ADVICE);
  if (range === null) return;
  const pages = [...live.ref.pages].filter(([vpn]) => vpn >= range.start && vpn < range.end);
  const pooled = pages.some(([, page]) => page.hugetlb);
  if (pooled && advice === c.MADV_REMOVE) return;
  s.doing = `madvise ${advice} of ${range.start.toString(16)}–${range.end.toString(16)}`;
  const length = (range.end - range.start) * PAGE;
  const got = s.outcome(() => live.process.madvise(range.start * PAGE, length, advice));
  const must = adviseRange(live, range, advice);
  // Whether a huge page can be made is the engine's business; contents must stay.
  if (advice === c.MADV_COLLAPSE) return;
  if (pooled && got === "EFAULT" && s.poolIsEmpty()) return;
  if (got === "ENOMEM" && s.options.mayFail) s.resync(live, range);
  s.agree(got, must);
}

export function remap(s: WalkState, draw: Draw, live: Live): void {
  const maps = live.process.maps();
  if (maps.length === 0) return;
  const vma = draw.of(maps);
  const [first, last] = [vma.start / PAGE, vma.end / PAGE];
  let from = draw.once(2) ? first : first + draw.below(last - first);
  let old = draw.once(2) ? last - from : 1 + draw.below(last - from);
  const pooled = live.ref.pages.get(from)?.hugetlb === true;
  if (pooled) {
    from -= from % HUGE;
    old = Math.ceil(old / HUGE) * HUGE;
  }
  const how = draw.of([0, c.MREMAP_MAYMOVE, c.MREMAP_MAYMOVE, FIXED, FIXED, STAY]);
  let pages = how === STAY || pooled ? old : 1 + draw.below(old * 2);
  let to = 0x10000 + draw.below(4096);
  if (pooled || draw.once(3)) to -= to % HUGE;
  if (pooled && how === 0 && draw.once(2)) pages += HUGE;
  s.doing = `mremap ${from.toString(16)}, ${old} to ${pages} pages, flags ${how}, to ${to.toString(16)}`;
  moveTo(s, live, { from, old, pages, how, to, pooled });
}

const FIXED = c.MREMAP_MAYMOVE | c.MREMAP_FIXED;
const STAY = c.MREMAP_MAYMOVE | c.MREMAP_DONTUNMAP;

interface Move {
  readonly from: number;
  readonly old: number;
  readonly pages: number;
  readonly how: number;
  readonly to: number;
  readonly pooled: boolean;
}

/** What must be refused; "" for what may go well. */
function refusal(live: Live, { from, old, pages, how, to, pooled }: Move): string {
  const fixed = (how & c.MREMAP_FIXED) !== 0;
  if (fixed && from + old > to && to + pages > from) return "EINVAL";
  if (pooled && pages > old) return "EINVAL";
  const cuts = live.ref.cutsHuge(to) || live.ref.cutsHuge(to + pages);
  return fixed && cuts ? "EINVAL" : "";
}

function moveTo(s: WalkState, live: Live, move: Move): void {
  const { from, old, pages, how, to } = move;
  const { ref, process } = live;
  const must = refusal(live, move);
  let at = -1;
  const got = s.outcome(
    () => void (at = process.mremap(from * PAGE, old * PAGE, pages * PAGE, how, to * PAGE) / PAGE),
  );
  const grows = pages > old;
  // In place there may be no room, and nobody allowed another one.
  if (got === "ENOMEM" && grows && how === 0) {
    if (from + pages < LAST && ref.isFree(from + old, from + pages)) s.agree(got, must);
    return;
  }
  if (!s.agree(got, must)) {
    s.resync(live, { start: to, end: to + pages });
    s.resync(live, { start: from, end: from + old });
    return;
  }
  const like = ref.pages.get(from);
  if (like === undefined) return s.fail("it moved what is not there");
  if (at === from) {
    if (pages < old) ref.unmap(from + pages, from + old);
    else ref.extend(from + old, pages - old, like, old);
    return;
  }
  if ((how & c.MREMAP_FIXED) !== 0) {
    if (at !== to) s.fail(`it was put at ${at.toString(16)}`);
    ref.unmap(to, to + pages);
  }
  if (!ref.isFree(at, at + pages)) s.fail("it was put over something");
  if (move.pooled && at % HUGE !== 0) s.fail("a hugetlb mapping is not aligned");
  ref.move(from, old, at, pages, (how & c.MREMAP_DONTUNMAP) !== 0);
}

/** Pages got through GUP and held; a device may write into them later. */
export function pin(s: WalkState, draw: Draw, live: Live): void {
  if (s.pins.length >= 6) return;
  const start = s.page(draw, live);
  const count = 1 + draw.below(4);
  const write = draw.once(2);
  const longterm = draw.once(3);
  const flags = FOLL_PIN | (write ? FOLL_WRITE : 0) | (longterm ? FOLL_LONGTERM : 0);
  const how = draw.of(["fast", "slow"] as const);
  const pages = Array.from({ length: count }, (_, i) => live.ref.pages.get(start + i));
  // Memory that may be written and not read: fast does not look, slow refuses.
  if (pages.some((p) => p?.prot === 2)) return;
  s.doing = `${how} pin of ${count} pages at ${start.toString(16)}, flags ${flags.toString(16)}`;
  let got: UserPages | null = null;
  const result = s.outcome(() => {
    got = live.process.gup(start * PAGE, count * PAGE, flags, how);
  });
  const cells: (Cell | null)[] = [];
  let must = "";
  for (const [i, page] of pages.entries()) {
    must = pinRefusal(live, start + i, page, write, longterm);
    if (must !== "" || page === undefined) break;
    const copied = result === "" && !s.pagemap(live, start + i).zero;
    cells.push(pinnedCell(live, page, write || (longterm && !page.shared), copied));
  }
  if (result === "EFAULT" && pages.some((p) => p?.hugetlb) && s.poolIsEmpty()) return;
  if (result === "ENOMEM") s.resync(live, { start, end: start + count });
  if (s.agree(result, must) && got !== null) keep(s, live, got, cells, write, start);
}

function keep(
  s: WalkState,
  live: Live,
  pages: UserPages,
  cells: (Cell | null)[],
  write: boolean,
  start: number,
): void {
  for (const [i, cell] of cells.entries()) {
    if (cell === null || !cell.lazy || !write) continue;
    s.settle(cell, s.frame(s.pagemap(live, start + i).pfn), () => {});
    cell.lazy = false;
  }
  s.pins.push({ pages, cells, write, pid: live.process.pid });
}

function pinRefusal(
  live: Live,
  vpn: number,
  page: RefPage | undefined,
  write: boolean,
  longterm: boolean,
): string {
  if (page === undefined || live.ref.signal(vpn, write) !== "") return "EFAULT";
  const disk = page.shared && page.object?.kind === "disk";
  return write && longterm && disk ? "EFAULT" : "";
}

/**
 * The cell that the pinned page is; null for the zero page. `own`: the pin made
 * it the process's own, as a long one does so as not to see its file change.
 */
function pinnedCell(live: Live, page: RefPage, own: boolean, copied: boolean): Cell | null {
  if (page.own !== null) return page.own;
  if (page.object !== null) return own ? live.ref.writable(page) : cellOf(page.object, page.index);
  // Untouched memory: a page of zeroes of its own, or the zero page of all.
  return own || copied ? live.ref.writable(page) : null;
}

export function useOrUnpin(s: WalkState, draw: Draw): void {
  if (s.pins.length === 0) return;
  const i = draw.below(s.pins.length);
  const { pages, cells, write } = s.pins[i];
  s.doing = `use of pin ${i}`;
  if (write && draw.once(2)) {
    const page = draw.below(cells.length);
    const bytes = draw.bytes(4);
    const cell = cells[page];
    if (cell?.cut === true) return;
    pages.write(page * PAGE + 8, bytes);
    if (cell !== null) writeCell(cell, 8, bytes);
    return;
  }
  s.doing = `end of pin ${i}`;
  pages.release(write);
  s.pins.splice(i, 1);
}

/** A frame that the process maps, and no zero page; −1 for none. */
function frameOf(s: WalkState, draw: Draw, live: Live): number {
  const is = s.pagemap(live, s.page(draw, live));
  return is.present && !is.zero ? is.pfn : -1;
}

export function migrate(s: WalkState, draw: Draw, live: Live): void {
  s.doing = "migration of a page";
  const pfn = frameOf(s, draw, live);
  if (pfn >= 0) s.kernel.migration.move(pfn);
}

export function split(s: WalkState, draw: Draw, live: Live): void {
  const pfn = frameOf(s, draw, live);
  if (pfn < 0) return;
  const { folios, core } = s.kernel.base;
  const folio = folios.ofPage(pfn);
  const first = core.pfnOf(folio);
  const order = core.design.orderOf(pfn);
  if (order === 0 || !folios.tryLock(folio)) return;
  s.doing = `split of the folio at ${first}, order ${order}`;
  folios.get(folio);
  s.kernel.splits.split(folio, draw.once(3) ? Math.max(0, order - 2) : 0);
  const now = core.design.descriptorOf(first);
  folios.unlock(now);
  folios.put(now);
}

export function merge(s: WalkState, draw: Draw, live: Live): void {
  s.doing = "merging of two pages";
  const other = draw.of(s.lives);
  s.kernel.ksm.merge(
    { mm: live.process.mm, vpn: s.page(draw, live) },
    { mm: other.process.mm, vpn: s.page(draw, other) },
  );
}

export function upkeep(s: WalkState, draw: Draw): void {
  const { machine, reclaim, compaction } = s.kernel;
  switch (draw.below(8)) {
    case 0:
      s.doing = "reclaim";
      return void reclaim.some(1 + draw.below(64), 0 as Ref);
    case 1:
      s.doing = "compaction";
      return void compaction.zone(draw.below(machine.config.zones.length));
    case 2:
      s.doing = "shrink of the caches";
      return void machine.caches.shrink();
    case 3:
      return void machine.allocator.drainAll();
    default:
      machine.allocator.cpu = draw.below(machine.allocator.cpus);
      return;
  }
}
