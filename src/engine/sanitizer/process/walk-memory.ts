/**
 * Steps of a walk on a process's own memory: mapping of all kinds, unmapping,
 * rights, reads and writes, fork and exit.
 */
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_HUGETLB,
  MAP_PRIVATE,
  MAP_SHARED,
} from "../../process/constants.js";
import type { MmapOptions } from "../../process/process.js";
import type { Draw } from "./program.js";
import { writeCell, type Cell, type RefObject, type RefSpec } from "./reference.js";
import type { Live, WalkState } from "./walk-state.js";

const PAGE = 4096;
const HUGE = 512;
/** Where fixed mappings go: small, so that they meet. */
const WINDOW = 0x10000;
const WINDOW_PAGES = 4096;
const SIZES = [1, 1, 1, 2, 2, 3, 4, 5, 8, 16, 16, 33, 64, 128, HUGE, HUGE + 70];
const PROTS = [3, 3, 3, 3, 3, 1, 1, 0, 2, 7];

interface Wanted {
  readonly spec: RefSpec;
  readonly options: MmapOptions;
  readonly pages: number;
  readonly index: number;
}

const memory = (kind: RefObject["kind"], pages: number): RefObject => ({
  kind,
  size: pages * PAGE,
  pages: new Map(),
});

/** What to map: anonymous or of a file, private or shared, now and then of the hugetlb pool. */
function wanted(s: WalkState, draw: Draw): Wanted {
  const prot = draw.of(PROTS);
  const shared = draw.once(3);
  const hugetlb = s.kernel.hugetlb.total > 0 && draw.once(8);
  const pages = hugetlb ? HUGE * (1 + draw.below(2)) : draw.of(SIZES);
  const flags = shared ? MAP_SHARED : MAP_PRIVATE;
  const length = pages * PAGE - (hugetlb ? 0 : draw.of([0, 0, 1, 4095]));
  const file = !hugetlb && draw.once(2) && s.files.length > 0 ? draw.of(s.files) : null;
  if (file !== null) {
    const index = draw.below(6);
    return {
      spec: { prot, shared, object: file.object, hugetlb },
      options: { prot, flags, length, file: file.file, offset: index * PAGE },
      pages,
      index,
    };
  }
  const object = shared ? memory(hugetlb ? "hugetlb" : "tmpfs", pages) : null;
  return {
    spec: { prot, shared, object, hugetlb },
    options: { prot, flags: flags | MAP_ANONYMOUS | (hugetlb ? MAP_HUGETLB : 0), length },
    pages,
    index: 0,
  };
}

/** Where: anywhere, near an address, or exactly there, whatever is there now. */
function placed(s: WalkState, draw: Draw, live: Live, want: Wanted): MmapOptions {
  const how = draw.below(6);
  if (how < 2) return want.options;
  let at = WINDOW + draw.below(WINDOW_PAGES);
  if (want.spec.hugetlb || draw.once(3)) at -= at % HUGE;
  // Over what is there, but not beyond the end of the address space.
  if (!want.spec.hugetlb && draw.once(3)) at = Math.min(s.page(draw, live), 0x7ffff000);
  const fixed = [0, 0, 0, MAP_FIXED, MAP_FIXED, MAP_FIXED_NOREPLACE][how];
  return { ...want.options, addr: at * PAGE, flags: want.options.flags | fixed };
}

export function map(s: WalkState, draw: Draw, live: Live): void {
  const want = wanted(s, draw);
  const options = placed(s, draw, live, want);
  const { ref, process } = live;
  const asked = (options.addr ?? 0) / PAGE;
  const range = { start: asked, end: asked + want.pages };
  const fixed = (options.flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) !== 0;
  s.doing = `mmap of ${want.pages} pages, flags ${options.flags.toString(16)}, prot ${options.prot}, at ${asked.toString(16)}`;
  let must = "";
  if ((options.flags & MAP_FIXED_NOREPLACE) !== 0 && !ref.isFree(range.start, range.end))
    must = "EEXIST";
  else if (fixed && (ref.cutsHuge(range.start) || ref.cutsHuge(range.end))) must = "EINVAL";
  let start = -1;
  const got = s.outcome(() => void (start = process.mmap(options) / PAGE));
  if (got === "ENOMEM" && want.spec.hugetlb) {
    s.resync(live, range);
    return;
  }
  if (!s.agree(got, must)) {
    if (got === "ENOMEM" && fixed) s.resync(live, range);
    return;
  }
  if (fixed && start !== asked) s.fail(`it was put at ${start.toString(16)}`);
  if (!fixed && !ref.isFree(start, start + want.pages)) s.fail("it was put over something");
  if (want.spec.hugetlb && start % HUGE !== 0) s.fail("a hugetlb mapping is not aligned");
  ref.map(start, want.pages, want.spec, want.index);
}

export function unmap(s: WalkState, draw: Draw, live: Live): void {
  const range = s.range(draw, live);
  if (range === null) return;
  const { start } = range;
  let { end } = range;
  // Now and then into the middle of a hugetlb page.
  if (draw.once(8) && live.ref.pages.get(end - 1)?.hugetlb === true) end--;
  s.doing = `munmap ${start.toString(16)}–${end.toString(16)}`;
  const must = live.ref.cutsHuge(start) || live.ref.cutsHuge(end) ? "EINVAL" : "";
  const got = s.outcome(() => live.process.munmap(start * PAGE, (end - start) * PAGE));
  if (s.agree(got, must)) live.ref.unmap(start, end);
}

export function protect(s: WalkState, draw: Draw, live: Live): void {
  const range = s.range(draw, live);
  if (range === null) return;
  const { start, end } = range;
  const prot = draw.of(PROTS);
  s.doing = `mprotect ${start.toString(16)}–${end.toString(16)} to ${prot}`;
  const got = s.outcome(() => live.process.mprotect(start * PAGE, (end - start) * PAGE, prot));
  const must = live.ref.protect(start, end, prot);
  if (got === "ENOMEM" && s.options.mayFail) s.resync(live, range);
  s.agree(got, must);
}

/** A refusal that only a hugetlb page may get. */
const poolRan = (s: WalkState, live: Live, vpn: number, got: string): boolean =>
  got === "SIGBUS" && s.poolMayRefuse(live, { start: vpn, end: vpn + 1 });

export function read(s: WalkState, draw: Draw, live: Live): void {
  const vpn = s.page(draw, live);
  const must = live.ref.signal(vpn, false);
  s.doing = `read of page ${vpn.toString(16)} by process ${live.process.pid}`;
  let bytes: Uint8Array = new Uint8Array(0);
  const got = s.outcome(() => {
    bytes = live.process.read(vpn * PAGE, PAGE);
  });
  if (poolRan(s, live, vpn, got) || !s.agree(got, must)) return;
  const page = live.ref.pages.get(vpn);
  if (page !== undefined) s.compare(bytes, live.ref.content(page), "what was read", -1);
}

export function write(s: WalkState, draw: Draw, live: Live): void {
  const vpn = s.page(draw, live);
  const from = draw.below(PAGE);
  const bytes = draw.bytes(1 + draw.below(Math.min(8, PAGE - from)));
  const must = live.ref.signal(vpn, true);
  s.doing = `write to page ${vpn.toString(16)} by process ${live.process.pid}`;
  const got = s.outcome(() => live.process.write(vpn * PAGE + from, bytes));
  if (poolRan(s, live, vpn, got) || !s.agree(got, must)) return;
  const page = live.ref.pages.get(vpn);
  if (page !== undefined) store(s, live, vpn, live.ref.writable(page), from, bytes);
}

/** Writes into the reference; a page that was freed lazily is first what the engine shows. */
function store(
  s: WalkState,
  live: Live,
  vpn: number,
  cell: Cell,
  from: number,
  bytes: Uint8Array,
): void {
  const put = (to: Cell): void => writeCell(to, from, bytes);
  if (!cell.lazy) return put(cell);
  const { pfn } = s.pagemap(live, vpn);
  s.settle(cell, s.frame(pfn), put);
}

export function fork(s: WalkState, live: Live): void {
  if (s.lives.length >= (s.options.processes ?? 5)) return;
  s.doing = `fork of process ${live.process.pid}`;
  let child = live.process;
  const got = s.outcome(() => {
    child = live.process.fork();
  });
  // A pinned page of the hugetlb pool is copied at once, if there is one to copy to.
  const pooled = [...live.ref.pages.values()].some((page) => page.hugetlb);
  if (got === "ENOMEM" && pooled && s.poolIsEmpty()) return;
  if (s.agree(got, "")) s.lives.push({ process: child, ref: live.ref.fork() });
}

export function exit(s: WalkState, live: Live): void {
  s.doing = `exit of process ${live.process.pid}`;
  live.process.exit();
  s.lives.splice(s.lives.indexOf(live), 1);
}
