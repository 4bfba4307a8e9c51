/**
 * The three page files of a live /proc, read in lockstep by segments.
 *
 * The kernel computes every word when it is read, some 70 ns each, so reading
 * is what takes the time. Segments are handed out by a shared counter; every
 * thread reads whole segments, 512 KiB of each file at a time, and makes runs
 * of them while the words are in its cache. The kernel refuses offsets and
 * lengths that are no multiples of 8 (EINVAL), and reads past the last frame
 * give nothing.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { InputError } from "../input-error.js";
import { ioReason } from "../files/io-error.node.js";
import { type BuiltPages, PageRunsBuilder } from "../page-runs-builder.js";

/** Frames read together from each file: 512 KiB. */
export const CHUNK_FRAMES = 65_536;
/** Frames of a segment: small enough to share evenly, large enough to be few. */
export const SEGMENT_FRAMES = 4 * CHUNK_FRAMES;

/** Paths of the page files; null for one that is not read. */
export interface PagePaths {
  readonly kpageflags: string;
  readonly kpagecount: string | null;
  readonly kpagecgroup: string | null;
}

/** Index of the counters that threads share. */
export const NEXT_SEGMENT = 0;
export const FRAMES_DONE = 1;

export interface Segment {
  readonly index: number;
  readonly pages: BuiltPages;
}

export interface SegmentsRead {
  readonly segments: readonly Segment[];
  /** Frames that kpagecount or kpagecgroup did not cover. */
  readonly short: { kpagecount: number; kpagecgroup: number };
}

/** Reads segments until none is left. `shared` holds the two counters. */
export function readSegments(
  paths: PagePaths,
  frames: number,
  shared: Int32Array,
  onChunk?: () => void,
): SegmentsRead {
  const files = [
    open(paths.kpageflags),
    maybeOpen(paths.kpagecount),
    maybeOpen(paths.kpagecgroup),
  ] as const;
  const short = { kpagecount: 0, kpagecgroup: 0 };
  const chunks = [new Chunk(), new Chunk(), new Chunk()] as const;
  const segments: Segment[] = [];
  try {
    for (;;) {
      const index = Atomics.add(shared, NEXT_SEGMENT, 1);
      const first = index * SEGMENT_FRAMES;
      if (first >= frames) return { segments, short };
      const end = Math.min(frames, first + SEGMENT_FRAMES);
      const builder = new PageRunsBuilder();
      for (let at = first; at < end; at += CHUNK_FRAMES) {
        const n = Math.min(CHUNK_FRAMES, end - at);
        const got = chunks[0].fill(files[0], paths.kpageflags, at, n);
        if (got < n)
          throw new InputError(
            { file: paths.kpageflags, offset: (at + got) * 8 },
            "ended while it was read",
            "memory was taken away meanwhile; try again",
          );
        if (files[1] !== null)
          short.kpagecount += n - chunks[1].fill(files[1], "kpagecount", at, n);
        if (files[2] !== null)
          short.kpagecgroup += n - chunks[2].fill(files[2], "kpagecgroup", at, n);
        builder.push(
          n,
          chunks[0].words,
          files[1] === null ? null : chunks[1].words,
          files[2] === null ? null : chunks[2].words,
        );
        Atomics.add(shared, FRAMES_DONE, n);
        onChunk?.();
      }
      segments.push({ index, pages: builder.finish() });
    }
  } finally {
    for (const fd of files) if (fd !== null) closeSync(fd);
  }
}

/** One buffer, as bytes for reading and as words for looking. */
class Chunk {
  readonly bytes = new Uint8Array(CHUNK_FRAMES * 8);
  readonly words = new Uint32Array(this.bytes.buffer);

  /** Reads `n` frames from frame `at` on; what the file does not have is 0. Frames got. */
  fill(fd: number, file: string, at: number, n: number): number {
    const want = n * 8;
    let used = 0;
    while (used < want) {
      const got = readAt(fd, file, this.bytes, used, want - used, at * 8 + used);
      if (got === 0) break;
      used += got;
    }
    if (used % 8 !== 0)
      throw new InputError({ file, offset: at * 8 + used }, "ended inside a word of 8 bytes");
    if (used < want) this.bytes.fill(0, used, want);
    return used / 8;
  }
}

function readAt(
  fd: number,
  file: string,
  into: Uint8Array,
  from: number,
  length: number,
  position: number,
): number {
  try {
    return readSync(fd, into, from, length, position);
  } catch (error) {
    throw new InputError({ file, offset: position }, `cannot be read: ${ioReason(error)}`);
  }
}

function open(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    throw new InputError({ file: path }, ioReason(error));
  }
}

const maybeOpen = (path: string | null): number | null => (path === null ? null : open(path));

/** Frames that a live kpageflags covers: its size is not told, so the end is searched. */
export function countFrames(path: string): number {
  const fd = open(path);
  const word = new Uint8Array(8);
  const has = (frame: number): boolean => readAt(fd, path, word, 0, 8, frame * 8) === 8;
  try {
    if (!has(0)) return 0;
    let below = 0;
    let beyond = 1;
    while (has(beyond)) {
      below = beyond;
      beyond *= 2;
      if (beyond > 2 ** 33)
        throw new InputError({ file: path, offset: 2 ** 35 }, "more than 2^32 − 1 frames (16 TiB)");
    }
    while (beyond - below > 1) {
      const mid = below + Math.floor((beyond - below) / 2);
      if (has(mid)) below = mid;
      else beyond = mid;
    }
    return beyond;
  } finally {
    closeSync(fd);
  }
}
