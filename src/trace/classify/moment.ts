/**
 * When the snapshot after a trace was taken, where nobody wrote it down.
 *
 * A snapshot that is read while the tracing goes on lies somewhere before the last
 * event. Blocks allocated before it are in it, those allocated after it mostly are
 * not: the time that contradicts fewest blocks which are alive at the end is taken.
 * A second and a half of reading is usual (fixtures: about 1.3 s). Where it was written
 * down when the reading began, the moment is looked for behind that.
 */
import { kindId } from "../../observe/kinds.js";
import { type Frames, isTraced, kindOfBlock } from "./frames.js";

const FREE = kindId("free");

/**
 * Milliseconds from the first effect, not before `least`; `end`, in the same, is the
 * last. Where no block contradicts the end of the trace, that is it.
 */
export function momentOf(
  frames: Frames,
  born: Frames,
  kinds: Uint8Array,
  least: number,
  end: number,
): number {
  // Per millisecond: blocks born then that the snapshot has, and that it has not.
  const has = new Int32Array(end + 2);
  const lacks = new Int32Array(end + 2);
  frames.forEach((pfn, word) => {
    if (!isTraced(word)) return;
    const ms = Math.min(end, Math.max(0, born.at(pfn) - 1));
    if (kinds[pfn] === FREE) lacks[ms]++;
    else if (kinds[pfn] === kindOfBlock(word)) has[ms]++;
  });
  // A moment m: blocks born before m that it lacks, and from m on that it has, contradict it.
  let wrong = has.reduce((sum, n) => sum + n, 0);
  let best = Infinity;
  let at = least;
  for (let m = 0; m <= end; m++) {
    if (m >= least && wrong <= best) {
      best = wrong;
      at = m;
    }
    wrong += lacks[m] - has[m];
  }
  return wrong <= best ? end + 1 : at;
}
