/**
 * Steps of a walk that move pages about: madvise, mremap, migration, compaction,
 * reclaim, splitting. None but a few kinds of advice changes what a process sees.
 */
import * as c from "../../process/constants.js";
import type { Ref } from "../../../units.js";
import type { Draw } from "./program.js";
import { byNumber } from "./devices.js";
import { freeLazily, punchHole, type RefPage, type RefProcess } from "./reference.js";
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

/** Advice as it was given, and whether the engine did it. */
interface Advised {
  readonly range: Range;
  readonly advice: number;
  readonly done: boolean;
  readonly all: readonly RefProcess[];
}

/** What advice does to one page that is mapped: "" or its errno. */
function advisePage(live: Live, vpn: number, page: RefPage, advised: Advised): string {
  const { range, advice } = advised;
  const anonymous = page.object === null && !page.hugetlb;
  const device = page.object?.kind === "device";
  const pfn = device && byNumber(page.object);
  switch (advice) {
    case c.MADV_DONTNEED: {
      if (pfn) return "EINVAL";
      if (device) page.gone = true;
      else if (!page.hugetlb) live.ref.forget(vpn);
      else if (vpn === range.start && vpn % HUGE !== 0) return "EINVAL";
      else if (vpn - (vpn % HUGE) + HUGE <= range.end) live.ref.forget(vpn);
      return "";
    }
    case c.MADV_FREE:
      if (!anonymous) return "EINVAL";
      if (page.own !== null) freeLazily(page.own, advised.all);
      return "";
    case c.MADV_COLD:
    case c.MADV_PAGEOUT:
      return page.hugetlb || pfn ? "EINVAL" : "";
    case c.MADV_DONTFORK:
    case c.MADV_DOFORK:
      if (device && advice === c.MADV_DOFORK) return "EINVAL";
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
      return pfn ? "EINVAL" : populate(live, vpn, page, advised);
    default:
      return "";
  }
}

function populate(live: Live, vpn: number, page: RefPage, { advice, done }: Advised): string {
  const write = advice === c.MADV_POPULATE_WRITE;
  if ((page.prot & (write ? 2 : 1)) === 0) return "EINVAL";
  if (live.ref.signal(vpn, write) !== "") return "EFAULT";
  // Where it was refused on the way, what the engine has shows how far it came.
  if (write && done) live.ref.writable(page);
  return "";
}

/** What advice for a range must come to; the reference is changed as far as it goes. */
function adviseRange(live: Live, advised: Advised): string {
  const { range, advice } = advised;
  const stops = advice === c.MADV_POPULATE_READ || advice === c.MADV_POPULATE_WRITE;
  let gap = "";
  for (let vpn = range.start; vpn < range.end; vpn++) {
    const page = live.ref.pages.get(vpn);
    if (page === undefined) {
      if (stops) return "ENOMEM";
      gap = "ENOMEM";
      continue;
    }
    const error = advisePage(live, vpn, page, advised);
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
  const devices = pages.some(([, page]) => page.object?.kind === "device");
  if ((pooled || devices) && advice === c.MADV_REMOVE) return;
  const populates = advice === c.MADV_POPULATE_READ || advice === c.MADV_POPULATE_WRITE;
  s.doing = `madvise ${advice} of ${range.start.toString(16)}–${range.end.toString(16)}`;
  const length = (range.end - range.start) * PAGE;
  const got = s.outcome(() => live.process.madvise(range.start * PAGE, length, advice));
  const must = adviseRange(live, {
    range,
    advice,
    done: got === "",
    all: s.lives.map((l) => l.ref),
  });
  // Whether a huge page can be made is the engine's business; contents must stay.
  if (advice === c.MADV_COLLAPSE) return;
  if (got === "EFAULT" && s.poolMayRefuse(live, range)) return;
  if (populates && got !== "") s.resync(live, range);
  else if (got === "ENOMEM" && s.options.mayFail) s.resync(live, range);
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
  const device = live.ref.pages.get(from)?.object?.kind === "device";
  if (device && pages > old && how === FIXED) pages = old;
  s.doing = `mremap ${from.toString(16)}, ${old} to ${pages} pages, flags ${how}, to ${to.toString(16)}`;
  moveTo(s, live, { from, old, pages, how, to, pooled, device });
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
  readonly device: boolean;
}

/** What must be refused; "" for what may go well. */
function refusal(live: Live, { from, old, pages, how, to, pooled, device }: Move): string {
  const fixed = (how & c.MREMAP_FIXED) !== 0;
  // DONTUNMAP is told a place too, though only as a wish (vrm_implies_new_addr of 6.18).
  if ((fixed || how === STAY) && from + old > to && to + pages > from) return "EINVAL";
  if (device && how === STAY) return "EINVAL";
  if (device && pages > old) return "EFAULT";
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
  const stays = (how & c.MREMAP_DONTUNMAP) !== 0;
  const before = s.options.mayFail && !stays ? new Map(ref.pages) : null;
  ref.move(from, old, at, pages, stays);
  if (before === null) return;
  // An old VMA that cannot be split stays, its pages gone (unmap_source_vma of 6.18).
  const maps = process.maps();
  for (let vpn = from; vpn < from + old; vpn++) {
    const was = before.get(vpn);
    const left = maps.some((v) => v.start <= vpn * PAGE && v.end > vpn * PAGE);
    if (was !== undefined && left && !ref.pages.has(vpn))
      ref.pages.set(vpn, { ...was, own: null, gone: was.object?.kind === "device" });
  }
}

/** A frame that the process maps, and no zero page nor a device's; −1 for none. */
function frameOf(s: WalkState, draw: Draw, live: Live): number {
  const vpn = s.page(draw, live);
  if (live.ref.pages.get(vpn)?.object?.kind === "device") return -1;
  const is = s.pagemap(live, vpn);
  return is.present && !is.zero ? is.pfn : -1;
}

export function migrate(s: WalkState, draw: Draw, live: Live): void {
  s.doing = "migration of a page";
  const pfn = frameOf(s, draw, live);
  if (pfn < 0) return;
  const held = s.whoHolds(pfn);
  const moved = s.kernel.migration.move(pfn) === 0;
  if (moved && held !== null) s.fail(`it moved, and ${held} holds it`, pfn);
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
