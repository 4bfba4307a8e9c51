/**
 * Whether /proc/kpageflags shows a tail page's own flags or its folio's.
 *
 * Before Linux 6.10 fs/proc/page.c read most bits off the page itself, where
 * a tail has almost none; since then it reads them off the folio, so a tail
 * repeats its head. Told from the data (the first tail after each head that
 * has a bit which only folios have); the release decides where no page can.
 */
import { KPF, low } from "../kpageflags.js";
import type { Snapshot } from "../snapshot.js";
import { releaseNumbers } from "../procfs/version.js";
import { HEAD, TAIL, type WordTable } from "./word-kinds.js";

/** Bits a used folio has on its head and a tail never has of its own. */
const TELLING = (low(KPF.LRU) | low(KPF.UPTODATE) | low(KPF.SWAPBACKED)) >>> 0;

export function tailDialect(snapshot: Snapshot, table: WordTable): "own" | "folio" {
  const { runs, flagWords } = snapshot;
  let own = 0;
  let folio = 0;
  for (let i = 0; i + 1 < runs.length; i++) {
    if (table.shape[runs.flags[i]] !== HEAD || table.shape[runs.flags[i + 1]] !== TAIL) continue;
    const head = flagWords.lo[runs.flags[i]] & TELLING;
    if (head === 0) continue;
    const tail = flagWords.lo[runs.flags[i + 1]] & TELLING;
    if (tail === head) folio++;
    else if (tail === 0) own++;
  }
  if (own !== folio) return own > folio ? "own" : "folio";
  const release = releaseNumbers(snapshot.kernel);
  if (release === null) return "folio";
  return release[0] > 6 || (release[0] === 6 && release[1] >= 10) ? "folio" : "own";
}
