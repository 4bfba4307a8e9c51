/**
 * What is written in pages: host memory only for frames that hold anything.
 *
 * A frame without an entry reads as zeroes. Contents are no metadata: they are
 * not words, cost nothing in any report, and move with a page when it is copied,
 * migrated or swapped.
 *
 * A stretch of frames can be a window (a BAR): a device answers there, with what it
 * has in memory of its own. Such frames hold nothing themselves, so that two numbers
 * of one byte cannot disagree.
 */
import { PAGE_SIZE } from "../../units.js";

/** Frames `start` … before `end` show what is held `shift` numbers above them. */
interface Window {
  readonly start: number;
  readonly end: number;
  readonly shift: number;
}

export class Content {
  /** Hears of every copy; null while nobody watches. */
  onCopy: ((from: number, to: number) => void) | null = null;
  /** Buffers kept for reuse: more where megabytes are written and freed again and again. */
  spare = 64;
  /** Nothing is written: a thread that had waited does again what it has done already. */
  muted = false;
  readonly #pages = new Map<number, Uint8Array>();
  readonly #spare: Uint8Array[] = [];
  readonly #windows: Window[] = [];

  /** Frames that hold anything. */
  get size(): number {
    return this.#pages.size;
  }

  /** Host bytes that contents take. */
  get bytes(): number {
    return this.#pages.size * PAGE_SIZE;
  }

  /** From now on `pages` frames from `start` on show what the numbers from `at` on hold. */
  openWindow(start: number, pages: number, at: number): void {
    this.#windows.push({ start, end: start + pages, shift: at - start });
  }

  /** The window that begins at a frame is none any more. */
  closeWindow(start: number): void {
    const at = this.#windows.findIndex((w) => w.start === start);
    if (at >= 0) this.#windows.splice(at, 1);
  }

  /** The number under which is kept what a frame shows: its own, but for a window's. */
  home(frame: number): number {
    for (const { start, end, shift } of this.#windows)
      if (frame >= start && frame < end) return frame + shift;
    return frame;
  }

  /** The same, at once where there is no window. */
  #at(frame: number): number {
    return this.#windows.length === 0 ? frame : this.home(frame);
  }

  /** Bytes `from` … of a frame into `out`. */
  read(frame: number, from: number, out: Uint8Array): void {
    const page = this.#pages.get(this.#at(frame));
    if (page === undefined) out.fill(0);
    else out.set(page.subarray(from, from + out.length));
  }

  write(frame: number, from: number, bytes: Uint8Array): void {
    if (this.muted) return;
    const at = this.#at(frame);
    let page = this.#pages.get(at);
    if (page === undefined) {
      page = this.#spare.pop() ?? new Uint8Array(PAGE_SIZE);
      // What was kept still holds what it held.
      if (bytes.length < PAGE_SIZE) page.fill(0);
      this.#pages.set(at, page);
    }
    page.set(bytes, from);
  }

  /** copy_highpage: what is in one frame is in the other too. */
  copy(from: number, to: number): void {
    if (this.muted) return;
    if (this.onCopy !== null) this.onCopy(this.#at(from), this.#at(to));
    if (this.#pages.size === 0) return;
    const page = this.#pages.get(this.#at(from));
    if (page === undefined) this.clear(to);
    else this.write(to, 0, page);
  }

  /** Zeroes from byte `from` on: what truncation does to the last page. */
  zeroFrom(frame: number, from: number): void {
    if (!this.muted) this.#pages.get(this.#at(frame))?.fill(0, from);
  }

  /** Whether a frame reads as zeroes. */
  isZero(frame: number): boolean {
    const page = this.#pages.get(this.#at(frame));
    return page === undefined || page.every((b) => b === 0);
  }

  /** Whether two frames hold the same. */
  same(a: number, b: number): boolean {
    const x = this.#pages.get(this.#at(a)) ?? ZEROES;
    const y = this.#pages.get(this.#at(b)) ?? ZEROES;
    for (let i = 0; i < PAGE_SIZE; i++) if (x[i] !== y[i]) return false;
    return true;
  }

  /** A fresh or freed frame: it reads as zeroes and takes no host memory. */
  clear(frame: number): void {
    if (this.#pages.size === 0 || this.muted) return;
    const at = this.#at(frame);
    const page = this.#pages.get(at);
    if (page === undefined) return;
    this.#pages.delete(at);
    if (this.#spare.length < this.spare) this.#spare.push(page);
  }

  /** The same of every frame from `start` up to `end`. */
  clearRange(start: number, end: number): void {
    for (const frame of this.#pages.keys()) if (frame >= start && frame < end) this.clear(frame);
  }

  /** The same of 2^order frames. */
  clearBlock(frame: number, order: number): void {
    if (this.#pages.size === 0) return;
    for (let i = 0; i < 1 << order; i++) this.clear(frame + i);
  }
}

const ZEROES = new Uint8Array(PAGE_SIZE);
