/**
 * A deliberately naive model of what processes see: for every page of every
 * process whose memory it is and what may be done with it, and for every written
 * byte its value. No page tables, no sharing of frames, no counts.
 *
 * A page that a process has for itself is a cell; a file is a map from index to
 * cell. A cell has an identity, so that who pinned one can say later whether the
 * process still has it. A cell that was freed lazily (MADV_FREE) may read as it
 * was or as zeroes until it is written.
 */
export interface Cell {
  /** Bytes that are not zero, by place in the page. Replaced, never changed. */
  data: ReadonlyMap<number, number>;
  /** It may have gone. */
  lazy: boolean;
  /**
   * Set where GUP copied the page to unshare it. The kernel leaves such a copy
   * clean (wp_page_copy of 6.18), so that of several processes that have it after a
   * fork each one's MADV_FREE may take it from all: they have the same origin.
   */
  origin: object | null;
  /** Cut out of its file: who pinned it may still share a large folio's page with the file, or not. */
  cut: boolean;
}

export interface RefObject {
  /** `device`: a driver's pages or scattered memory, all mapped at once and never faulted in again. */
  readonly kind: "disk" | "tmpfs" | "hugetlb" | "device";
  /** Bytes. */
  size: number;
  readonly pages: Map<number, Cell>;
}

/** One page of a process. */
export interface RefPage {
  /** PROT_ bits. */
  prot: number;
  readonly shared: boolean;
  /** What lies behind it; null for private anonymous memory. */
  readonly object: RefObject | null;
  readonly index: number;
  readonly hugetlb: boolean;
  dontFork: boolean;
  wipeOnFork: boolean;
  /** A device's page that was given up: nobody puts it back. */
  gone: boolean;
  /** What a private page was written with; null while it shows what lies behind. */
  own: Cell | null;
}

export type RefSpec = Omit<RefPage, "index" | "own" | "gone" | "dontFork" | "wipeOnFork">;

const EMPTY: ReadonlyMap<number, number> = new Map();
const HUGE = 512;
const WRITE = 2;

export const newCell = (data: ReadonlyMap<number, number> = EMPTY): Cell => ({
  data,
  lazy: false,
  origin: null,
  cut: false,
});

/** Writes bytes into a cell. */
export function writeCell(cell: Cell, from: number, bytes: Uint8Array): void {
  const data = new Map(cell.data);
  for (const [i, byte] of bytes.entries()) {
    if (byte === 0) data.delete(from + i);
    else data.set(from + i, byte);
  }
  cell.data = data;
  cell.lazy = false;
  cell.origin = null;
}

/** Cell of a file's page, made where it is missing. */
export function cellOf(object: RefObject, index: number): Cell {
  let cell = object.pages.get(index);
  if (cell === undefined) object.pages.set(index, (cell = newCell()));
  return cell;
}

/** MADV_FREE of a private page: it may be gone for all who have the clean copy that it is. */
export function freeLazily(cell: Cell, all: Iterable<RefProcess>): void {
  cell.lazy = true;
  if (cell.origin === null) return;
  for (const process of all)
    for (const { own } of process.pages.values()) if (own?.origin === cell.origin) own.lazy = true;
}

/** An address space. */
export class RefProcess {
  readonly pages = new Map<number, RefPage>();

  /** New pages in place of whatever was there. `index`: of the first, in what lies behind. */
  map(start: number, count: number, spec: RefSpec, index: number): void {
    for (let i = 0; i < count; i++)
      this.pages.set(start + i, {
        ...spec,
        index: index + i,
        dontFork: false,
        wipeOnFork: false,
        gone: false,
        own: null,
      });
  }

  isFree(start: number, end: number): boolean {
    for (let vpn = start; vpn < end; vpn++) if (this.pages.has(vpn)) return false;
    return true;
  }

  /** Whether a border here would cut a page of a hugetlb pool. */
  cutsHuge(vpn: number): boolean {
    return vpn % HUGE !== 0 && this.pages.get(vpn)?.hugetlb === true;
  }

  /** "" or the errno. */
  unmap(start: number, end: number): string {
    if (this.cutsHuge(start) || this.cutsHuge(end)) return "EINVAL";
    for (let vpn = start; vpn < end; vpn++) this.pages.delete(vpn);
    return "";
  }

  /** Rights of all pages up to the first gap. */
  protect(start: number, end: number, prot: number): string {
    for (let vpn = start; vpn < end; vpn++) {
      const page = this.pages.get(vpn);
      if (page === undefined) return "ENOMEM";
      page.prot = prot;
    }
    return "";
  }

  /** Signal that an access gets; "" for none. */
  signal(vpn: number, write: boolean): string {
    const page = this.pages.get(vpn);
    if (page === undefined || (write ? (page.prot & WRITE) === 0 : page.prot === 0))
      return "SIGSEGV";
    return page.gone || this.#beyondEnd(page) ? "SIGBUS" : "";
  }

  #beyondEnd(page: RefPage): boolean {
    const { object } = page;
    if (object === null || object.kind === "hugetlb" || page.own !== null) return false;
    return page.index >= Math.ceil(object.size / 4096);
  }

  /** What the process sees at a page. */
  content(page: RefPage): Cell | null {
    if (page.own !== null) return page.own;
    return page.object?.pages.get(page.index) ?? null;
  }

  /** The cell that a write to a page goes to: a private page gets its own at its first. */
  writable(page: RefPage): Cell {
    if (page.shared && page.object !== null) return cellOf(page.object, page.index);
    if (page.own === null) page.own = newCell(this.content(page)?.data);
    return page.own;
  }

  /** A child: private pages as they are, shared ones shared. */
  fork(): RefProcess {
    const child = new RefProcess();
    for (const [vpn, page] of this.pages) {
      if (page.dontFork) continue;
      const keep = page.own !== null && !page.wipeOnFork;
      const own = keep && page.own !== null ? { ...page.own } : null;
      child.pages.set(vpn, { ...page, own });
    }
    return child;
  }

  /** mremap that moves: old pages go to the new place, more of the same behind them. */
  move(from: number, old: number, to: number, count: number, keepOld: boolean): void {
    const first = this.pages.get(from);
    if (first === undefined) return;
    const moved: RefPage[] = [];
    for (let i = 0; i < Math.min(old, count); i++) {
      const page = this.pages.get(from + i);
      if (page === undefined) continue;
      moved.push(page);
      if (keepOld) this.pages.set(from + i, { ...page, own: null });
      else this.pages.delete(from + i);
    }
    if (!keepOld) for (let i = moved.length; i < old; i++) this.pages.delete(from + i);
    for (const [i, page] of moved.entries()) this.pages.set(to + i, page);
    this.extend(to + moved.length, count - moved.length, first, moved.length);
  }

  /** More pages of a mapping: `like` is a page of it, `after` pages before the first new one. */
  extend(start: number, count: number, like: RefPage, after: number): void {
    for (let i = 0; i < count; i++)
      this.pages.set(start + i, { ...like, index: like.index + after + i, own: null });
  }

  /** MADV_DONTNEED on one page. */
  forget(vpn: number): void {
    const page = this.pages.get(vpn);
    if (page !== undefined) page.own = null;
  }
}

/** A page leaves its file. */
function cut(object: RefObject, index: number): void {
  const cell = object.pages.get(index);
  if (cell !== undefined) cell.cut = true;
  object.pages.delete(index);
}

/** What was written behind the old end of a disk's file reads as zeroes once it is inside. */
function growsOver(object: RefObject, to: number): void {
  const cell = object.pages.get(Math.floor(object.size / 4096));
  if (object.kind !== "disk" || cell === undefined || object.size % 4096 === 0) return;
  const end = to - object.size + (object.size % 4096);
  const from = object.size % 4096;
  cell.data = new Map([...cell.data].filter(([at]) => at < from || at >= end));
}

/** ftruncate, in the file and in all who map it: private copies of what is cut off go too. */
export function truncate(object: RefObject, size: number, all: Iterable<RefProcess>): void {
  const shrinks = size < object.size;
  if (!shrinks) growsOver(object, size);
  object.size = size;
  if (!shrinks) return;
  const first = Math.ceil(size / 4096);
  for (const index of object.pages.keys()) if (index >= first) cut(object, index);
  const last = object.pages.get(Math.floor(size / 4096));
  if (last !== undefined && size % 4096 !== 0)
    last.data = new Map([...last.data].filter(([at]) => at < size % 4096));
  for (const process of all)
    for (const page of process.pages.values())
      if (page.object === object && page.index >= first) page.own = null;
}

/** fallocate with PUNCH_HOLE: bytes read as zeroes, whole pages go; private copies stay. */
export function punchHole(object: RefObject, offset: number, length: number): void {
  // Behind the end of a disk's file the last page goes whole.
  const past = object.kind === "disk" && offset + length > object.size;
  const end = Math.min(past ? Infinity : offset + length, Math.ceil(object.size / 4096) * 4096);
  for (const [index, cell] of object.pages) {
    const from = Math.max(0, offset - index * 4096);
    const to = Math.min(4096, end - index * 4096);
    if (from >= to) continue;
    if (from === 0 && to === 4096) cut(object, index);
    else cell.data = new Map([...cell.data].filter(([at]) => at < from || at >= to));
  }
}

/** pwrite */
export function writeFile(object: RefObject, offset: number, bytes: Uint8Array): void {
  if (offset > object.size) growsOver(object, offset);
  object.size = Math.max(object.size, offset + bytes.length);
  for (let done = 0; done < bytes.length;) {
    const at = offset + done;
    const n = Math.min(4096 - (at % 4096), bytes.length - done);
    const cell = cellOf(object, Math.floor(at / 4096));
    writeCell(cell, at % 4096, bytes.subarray(done, done + n));
    done += n;
  }
}

/** pread */
export function readFile(object: RefObject, offset: number, length: number): Uint8Array {
  const end = Math.min(offset + length, object.size);
  const out = new Uint8Array(Math.max(0, end - offset));
  for (let i = 0; i < out.length; i++) {
    const at = offset + i;
    out[i] = object.pages.get(Math.floor(at / 4096))?.data.get(at % 4096) ?? 0;
  }
  return out;
}
