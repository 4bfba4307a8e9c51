/**
 * One page file on its own → runs of equal words, and three of them → pages.
 *
 * A folder or a tar gives its files one after the other (a tar cannot give
 * them otherwise), so each becomes a column of runs first and the columns are
 * merged. Memory goes with the variety of the file, never with its length. A
 * file must be whole words of 8 bytes; files of one source must agree about
 * the number of frames.
 */
import { InputError } from "../input-error.js";
import { type BuiltPages, MAX_FRAMES, PageRunsBuilder } from "../page-runs-builder.js";

/** Run i covers words `start[i]` … `start[i + 1] − 1`, each (lo, hi). */
export interface WordColumn {
  readonly file: string;
  readonly length: number;
  readonly words: number;
  readonly start: Uint32Array;
  readonly lo: Uint32Array;
  readonly hi: Uint32Array;
}

/** Bytes that are looked at together; 64 Ki frames, as in live reads. */
const CHUNK = 512 * 1024;

export class WordColumnBuilder {
  private readonly file: string;
  private readonly buffer = new Uint8Array(CHUNK);
  private readonly view = new Uint32Array(this.buffer.buffer);
  private filled = 0;
  private words = 0;
  private length = 0;
  private start = new Uint32Array(1024);
  private lo = new Uint32Array(1024);
  private hi = new Uint32Array(1024);

  constructor(file: string) {
    this.file = file;
  }

  /** Takes the next bytes of the file, however they are cut. */
  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const n = Math.min(CHUNK - this.filled, bytes.length - at);
      this.buffer.set(bytes.subarray(at, at + n), this.filled);
      this.filled += n;
      at += n;
      if (this.filled === CHUNK) this.flush();
    }
  }

  private flush(): void {
    const n = this.filled >>> 3;
    if (this.words + n > MAX_FRAMES) {
      throw new InputError(
        { file: this.file, offset: MAX_FRAMES * 8 },
        "more than 2^32 − 1 frames (16 TiB)",
      );
    }
    const v = this.view;
    let last = this.length - 1;
    let lo = last < 0 ? 0 : this.lo[last];
    let hi = last < 0 ? 0 : this.hi[last];
    for (let i = 0; i < 2 * n; i += 2) {
      if (v[i] === lo && v[i + 1] === hi && last >= 0) continue;
      lo = v[i];
      hi = v[i + 1];
      last = this.open(this.words + (i >>> 1), lo, hi);
    }
    this.words += n;
    this.filled = 0;
  }

  private open(at: number, lo: number, hi: number): number {
    if (this.length === this.start.length) {
      this.start = doubled(this.start);
      this.lo = doubled(this.lo);
      this.hi = doubled(this.hi);
    }
    const k = this.length++;
    this.start[k] = at;
    this.lo[k] = lo;
    this.hi[k] = hi;
    return k;
  }

  /** The column. Throws InputError where the file ends inside a word or is empty. */
  finish(): WordColumn {
    const over = this.filled % 8;
    this.flush();
    if (over !== 0) {
      throw new InputError(
        { file: this.file, offset: this.words * 8 },
        `ends ${over} byte${over === 1 ? "" : "s"} into a word of 8`,
        "the file was cut",
      );
    }
    if (this.words === 0) throw new InputError({ file: this.file, offset: 0 }, "empty");
    const start = new Uint32Array(this.length + 1);
    start.set(this.start.subarray(0, this.length));
    start[this.length] = this.words;
    return {
      file: this.file,
      length: this.length,
      words: this.words,
      start,
      lo: this.lo,
      hi: this.hi,
    };
  }
}

function doubled(column: Uint32Array): Uint32Array<ArrayBuffer> {
  const next = new Uint32Array(column.length * 2);
  next.set(column);
  return next;
}

const NOTHING: Pick<WordColumn, "length" | "lo" | "hi"> = {
  length: 1,
  lo: new Uint32Array(1),
  hi: new Uint32Array(1),
};

/** Merges the columns of one source. Throws InputError where their lengths differ. */
export function mergeColumns(
  flags: WordColumn,
  counts: WordColumn | null,
  cgroups: WordColumn | null,
): BuiltPages {
  for (const other of [counts, cgroups]) {
    if (other === null || other.words === flags.words) continue;
    throw new InputError(
      { file: other.file, offset: Math.min(other.words, flags.words) * 8 },
      `covers ${other.words} frames, ${flags.file} covers ${flags.words}`,
      "the files are of different machines, or one was cut",
    );
  }
  const builder = new PageRunsBuilder();
  const whole = Uint32Array.of(0, flags.words);
  const c = counts ?? { ...NOTHING, start: whole };
  const g = cgroups ?? { ...NOTHING, start: whole };
  let fi = 0;
  let ci = 0;
  let gi = 0;
  for (let at = 0; at < flags.words;) {
    const end = Math.min(flags.start[fi + 1], c.start[ci + 1], g.start[gi + 1]);
    builder.pushRun(end - at, flags.lo[fi], flags.hi[fi], c.lo[ci], c.hi[ci], g.lo[gi], g.hi[gi]);
    if (flags.start[fi + 1] === end) fi++;
    if (c.start[ci + 1] === end) ci++;
    if (g.start[gi + 1] === end) gi++;
    at = end;
  }
  return builder.finish();
}
