/**
 * Page words → runs → kinds, without the kernel: real pages, expanded into the
 * three arrays that /proc gave when they were read.
 *
 * Only the expansion is the benchmark's own, and no figure contains it.
 */
import { readSnapshotFile } from "../src/observe/capture/capture.node.js";
import { classify } from "../src/observe/classify/classify.js";
import { PageRunsBuilder } from "../src/observe/page-runs-builder.js";
import { CHUNK_FRAMES } from "../src/observe/procfs/page-segments.node.js";
import type { Snapshot } from "../src/observe/snapshot.js";
import { BUNDLED } from "./places.js";

/** Unpacked page files: two halves per frame, low half first. */
export interface PageArrays {
  readonly frames: number;
  readonly flags: Uint32Array;
  readonly counts: Uint32Array;
  readonly cgroups: Uint32Array;
}

/** What /proc/kpageflags, kpagecount and kpagecgroup held when the snapshot was taken. */
export function expand(snapshot: Snapshot): PageArrays {
  const { frames, runs, flagWords, cgroups } = snapshot;
  const arrays = [0, 1, 2].map(() => new Uint32Array(2 * frames));
  for (let i = 0; i < runs.length; i++) {
    const group = cgroups[runs.cgroup[i]];
    const halves = [
      [flagWords.lo[runs.flags[i]], flagWords.hi[runs.flags[i]]],
      [runs.mapcount[i], 0],
      [group >>> 0, Math.floor(group / 2 ** 32)],
    ];
    for (let at = 2 * runs.start[i]; at < 2 * runs.start[i + 1]; at += 2) {
      for (const [file, [lo, hi]] of halves.entries()) {
        arrays[file][at] = lo;
        arrays[file][at + 1] = hi;
      }
    }
  }
  return { frames, flags: arrays[0], counts: arrays[1], cgroups: arrays[2] };
}

/** The street from arrays to kinds, in the pieces in which a live machine is read. Objects found. */
export function classifyArrays(arrays: PageArrays, like: Snapshot, all: boolean): number {
  const builder = new PageRunsBuilder();
  for (let at = 0; at < arrays.frames; at += CHUNK_FRAMES) {
    const end = Math.min(arrays.frames, at + CHUNK_FRAMES);
    const piece = (array: Uint32Array): Uint32Array => array.subarray(2 * at, 2 * end);
    builder.push(
      end - at,
      piece(arrays.flags),
      all ? piece(arrays.counts) : null,
      all ? piece(arrays.cgroups) : null,
    );
  }
  const { runs, flagWords, cgroups } = builder.finish();
  return classify({ ...like, runs, flagWords, cgroups, hasMapcount: all, hasCgroup: all }).objects
    .length;
}

/** Opens the bundled snapshot as a capture file, and says what its pages are if asked. */
export async function openCapture(toKinds: boolean): Promise<void> {
  const snapshot = await readSnapshotFile(BUNDLED);
  if (toKinds) classify(snapshot);
}

/** What is measured: from arrays, or from the file; and its target in million pages/s. */
export const TASKS = [
  { name: "kpageflags alone to kinds", least: 100, arrays: true, more: false },
  { name: "three arrays to kinds", least: 100, arrays: true, more: true },
  { name: "opening the capture", least: 30, arrays: false, more: false },
  { name: "opening it, to kinds", least: 30, arrays: false, more: true },
] as const;
