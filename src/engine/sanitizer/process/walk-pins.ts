/**
 * Steps of a walk on pages held by GUP: got or pinned, to read or to write, for a
 * moment or for long, fast or slow; a device writes into them; they are let go.
 *
 * A pinned page is the process's page for as long as it is pinned, whatever forks
 * and moves meanwhile: its cell says what it holds. A page that was got without a
 * pin may be the process's or what the process had before a copy: its content is
 * nobody's promise (Documentation/core-api/pin_user_pages.rst), only its count is.
 */
import { FOLL_GET, FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE } from "../../process/gup.js";
import { UserPages } from "../../process/user-pages.js";
import type { Draw } from "./program.js";
import { cellOf, writeCell, type Cell, type RefPage } from "./reference.js";
import type { Live, WalkState } from "./walk-state.js";

const PAGE = 4096;
/** Held at a time. */
const MOST = 6;

/** What is wanted of which pages. */
interface Wish {
  readonly start: number;
  readonly pages: readonly (RefPage | undefined)[];
  readonly pinned: boolean;
  readonly write: boolean;
  readonly longterm: boolean;
}

export function pin(s: WalkState, draw: Draw, live: Live): void {
  if (s.pins.length >= MOST) return;
  const start = s.page(draw, live);
  const count = 1 + draw.below(4);
  const pages = Array.from({ length: count }, (_, i) => live.ref.pages.get(start + i));
  const pinned = !draw.once(4);
  const write = draw.once(2);
  // FOLL_LONGTERM without FOLL_PIN is not to be had from outside.
  const longterm = pinned && draw.once(3);
  const how = draw.of(["fast", "slow"] as const);
  const registers = pinned && write && longterm && how === "fast" && draw.once(2);
  // Memory that may be written and not read: fast does not look, slow refuses.
  if (pages.some((p) => p?.prot === 2)) return;
  const flags =
    (pinned ? FOLL_PIN : FOLL_GET) | (write ? FOLL_WRITE : 0) | (longterm ? FOLL_LONGTERM : 0);
  s.doing = `${registers ? "registration" : `${how} pin`} of ${count} pages at ${start.toString(16)}, flags ${flags.toString(16)}`;
  get(s, live, { start, pages, pinned, write, longterm }, () =>
    registers
      ? UserPages.register(live.process, start * PAGE, count * PAGE)
      : live.process.gup(start * PAGE, count * PAGE, flags, how),
  );
}

function get(s: WalkState, live: Live, wish: Wish, run: () => UserPages): void {
  const { start, pages } = wish;
  let got: UserPages | null = null;
  const result = s.outcome(() => {
    got = run();
  });
  let must = "";
  for (let i = 0; i < pages.length && must === ""; i++)
    must = refusal(s, live, start + i, pages[i], wish);
  if (result === "EFAULT" && s.poolMayRefuse(live, { start, end: start + pages.length })) return;
  // Pages before the one that was refused may be the process's own by now.
  if (result !== "") s.resync(live, { start, end: start + pages.length });
  if (s.agree(result, must) && got !== null) keep(s, live, got, wish);
}

function refusal(
  s: WalkState,
  live: Live,
  vpn: number,
  page: RefPage | undefined,
  { write, longterm }: Wish,
): string {
  if (page === undefined || live.ref.signal(vpn, write) !== "") return "EFAULT";
  if (page.object?.kind === "device" && !s.devices.mayPin(page.object)) return "EFAULT";
  const disk = page.shared && page.object?.kind === "disk";
  return write && longterm && disk ? "EFAULT" : "";
}

function keep(s: WalkState, live: Live, pages: UserPages, wish: Wish): void {
  const cells = wish.pages.map((page, i) => {
    if (page === undefined) return null;
    const copied = !s.pagemap(live, wish.start + i).zero;
    const own = wish.write || (wish.longterm && !page.shared);
    const cell = heldCell(live, page, own, copied);
    if (cell !== null && cell.lazy && wish.write) {
      s.settle(cell, s.frame(pages.pfns[i]), () => {});
      cell.lazy = false;
    }
    if (page.own !== null && wish.pinned && !wish.write) page.own.origin = {};
    return cell;
  });
  const { pinned, write } = wish;
  s.pins.push({ pages, cells, pinned, write: pinned && write, pid: live.process.pid });
}

/**
 * The cell that the page is; null for the zero page. `own`: getting it made it
 * the process's own, as a long pin does so as not to see its file change.
 */
function heldCell(live: Live, page: RefPage, own: boolean, copied: boolean): Cell | null {
  if (page.own !== null) return page.own;
  if (page.object !== null) return own ? live.ref.writable(page) : cellOf(page.object, page.index);
  // Untouched memory: a page of zeroes of its own, or the zero page of all.
  return own || copied ? live.ref.writable(page) : null;
}

/** O_DIRECT into a process: pinned for the time of one write. */
export function direct(s: WalkState, draw: Draw, live: Live): void {
  const vpn = s.page(draw, live);
  const page = live.ref.pages.get(vpn);
  const bytes = draw.bytes(8);
  if (page?.prot === 2) return;
  s.doing = `direct read into page ${vpn.toString(16)} of process ${live.process.pid}`;
  const wish = { start: vpn, pages: [page], pinned: true, write: true, longterm: false };
  const must = refusal(s, live, vpn, page, wish);
  const got = s.outcome(() => UserPages.directRead(live.process, vpn * PAGE + 64, bytes));
  if (got === "EFAULT" && s.poolMayRefuse(live, { start: vpn, end: vpn + 1 })) return;
  if (!s.agree(got, must) || page === undefined) return;
  const cell = live.ref.writable(page);
  const put = (to: Cell): void => writeCell(to, 64, bytes);
  if (!cell.lazy) return put(cell);
  s.settle(cell, s.frame(s.pagemap(live, vpn).pfn), put);
  cell.lazy = false;
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
