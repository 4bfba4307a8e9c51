/**
 * Writes states in the common shape (observe.ts) for a subject that is not the
 * kernel: numbers folios as they appear, remembers frames from step to step,
 * and joins pages to runs exactly as executor/frames.c does.
 */
import { PAGE_BITS, withoutNoise, type FileState, type Vma } from "./observe.js";
import { ARENAS, PAGE, type Op } from "./program.js";

/** A mapped page as a subject tells it. */
export interface ShownPage {
  /** Address / 4096. */
  readonly page: number;
  /** Of PAGE_BITS, without `kept`. Those left out as noise are removed. */
  readonly bits: number;
  /** A number that is this frame's own, above 0; 0 where nothing is present. */
  readonly frame: number;
  /** The frame of the folio's first page. */
  readonly head: number;
  readonly order: number;
  readonly mapCount: number;
}

export interface ShownProcess {
  readonly number: number;
  /** In the order of COUNTERS. */
  readonly counters: readonly number[];
  /** Ascending; only those that start in an arena. */
  readonly vmas: readonly Vma[];
  /** Ascending; only those in an arena and present, swapped or guarded. */
  readonly pages: Iterable<ShownPage>;
}

export interface Shown {
  readonly files: readonly FileState[];
  readonly pool: { readonly free: number; readonly reserved: number };
  /** In the order in which they were started. */
  readonly processes: readonly ShownProcess[];
}

interface Run {
  page: number;
  pages: number;
  folio: number;
  index: number;
  mapCount: number;
  bits: number;
  order: number;
  stride: number;
}

export class StateWriter {
  readonly #before = new Map<number, Map<number, number>>();
  #folios = new Map<number, number>();

  /**
   * Called after each step that succeeded: where a call frees frames before it
   * takes new ones for the same addresses, they are not told as kept.
   */
  forgetReplaced(op: Op): void {
    if (op.op === "mmap") this.#forget(op.process, op.address, op.length);
    if (op.op !== "mremap") return;
    this.#forget(op.process, op.newAddress, op.newLength);
    this.#forget(op.process, ARENAS[2].start, ARENAS[2].pages * PAGE);
  }

  #forget(process: number, start: number, bytes: number): void {
    const [first, end] = [Math.floor(start / PAGE), Math.ceil((start + bytes) / PAGE)];
    const known = this.#before.get(process);
    if (known === undefined || bytes > 16 << 20) return;
    for (const page of known.keys()) if (page >= first && page < end) known.delete(page);
  }

  /** The words of a state. */
  write(shown: Shown): Int32Array {
    const words: number[] = [];
    this.#folios = new Map();
    for (const { size, cached } of shown.files) words.push(size, cached.length, ...cached.flat());
    words.push(shown.pool.free, shown.pool.reserved, shown.processes.length);
    for (const process of shown.processes) this.#writeProcess(words, process);
    return Int32Array.from(words);
  }

  #writeProcess(words: number[], process: ShownProcess): void {
    words.push(process.number, ...process.counters, process.vmas.length);
    for (const v of process.vmas)
      words.push(v.page, v.pages, v.permissions | (v.backing << 8), v.offset);
    const before = this.#before.get(process.number) ?? new Map<number, number>();
    const now = new Map<number, number>();
    const countAt = words.length;
    words.push(0);
    let run: Run | null = null;
    for (const shown of process.pages) {
      if (shown.frame > 0) now.set(shown.page, shown.frame);
      const kept = shown.frame > 0 && before.get(shown.page) === shown.frame;
      const bits = withoutNoise(shown.bits & ~PAGE_BITS.kept) | (kept ? PAGE_BITS.kept : 0);
      const next = this.#runOf(shown, bits);
      if (run !== null && joined(run, next)) continue;
      if (run !== null) putRun(words, countAt, run);
      run = next;
    }
    if (run !== null) putRun(words, countAt, run);
    this.#before.set(process.number, now);
  }

  #runOf(shown: ShownPage, bits: number): Run {
    const { page, frame, head, order, mapCount } = shown;
    const none = frame === 0;
    return {
      page,
      pages: 1,
      folio: none ? -1 : this.#number(head),
      index: none ? 0 : frame - head,
      mapCount: none ? 0 : mapCount,
      bits,
      order: none ? 0 : order,
      stride: 0,
    };
  }

  #number(head: number): number {
    const known = this.#folios.get(head);
    if (known !== undefined) return known;
    const number = this.#folios.size;
    this.#folios.set(head, number);
    return number;
  }
}

/** Whether the run takes the next page in; it is longer then. */
function joined(run: Run, next: Run): boolean {
  const alike =
    next.page === run.page + run.pages &&
    next.bits === run.bits &&
    next.mapCount === run.mapCount &&
    next.order === run.order;
  const stride = strideTo(run, next);
  if (!alike || stride < 0 || (run.pages > 1 && stride !== run.stride)) return false;
  run.stride = stride;
  run.pages++;
  return true;
}

/** 0 the same frame again, 1 the next page of the folio, 2 the next folio. */
function strideTo(run: Run, next: Run): number {
  if (next.folio === run.folio && next.index === run.index) return 0;
  if (next.folio === run.folio && next.index === run.index + run.pages) return 1;
  return next.folio === run.folio + run.pages && next.index === run.index ? 2 : -1;
}

function putRun(words: number[], countAt: number, run: Run): void {
  words[countAt]++;
  words.push(run.page, run.pages, run.folio, run.index, run.mapCount, run.bits);
  words.push(run.order | (run.stride << 8));
}
