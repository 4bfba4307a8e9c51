/**
 * What an early free left behind: mappings of pages that are nobody's any more,
 * and the rule that there are none.
 *
 * Where nothing is counted a free takes pages away under the processes that map
 * them; what they read and write afterwards is whatever the frames are used for
 * next. Nothing in the machine's words says so, so the page tables are searched.
 */
import { RuleViolation } from "../../errors.js";
import { PAGE_SIZE, type Ref } from "../../../units.js";
import type { Base } from "../base.js";
import { ptePfn, PTE_THERE } from "../entry.js";
import { pteAt } from "../page-tables.js";
import type { Process } from "../process.js";
import { OPS_SCATTERED } from "./user-map.js";

const NONE = 0 as Ref;

/** A page that a process can reach though its owner freed it. */
export interface StaleMapping {
  readonly pid: number;
  /** Byte address in that process. */
  readonly addr: number;
  readonly pfn: number;
}

/** Frames that processes map through scattered mappings, in order of process and address. */
function* mappedFrames(base: Base, processes: Iterable<Process>): Generator<StaleMapping> {
  const { vmas, tables, w } = base;
  for (const { mm, pid } of processes) {
    for (let vma = vmas.tree.first(mm); vma !== NONE; vma = vmas.tree.next(vma)) {
      if (vmas.ops(vma) !== OPS_SCATTERED) continue;
      for (let vpn = vmas.tree.start(vma); vpn < vmas.tree.end(vma); vpn++) {
        const table = tables.pteTable(mm, vpn);
        const lo = table === NONE ? 0 : w.load64(table, pteAt(vpn));
        if ((lo & PTE_THERE) === 0) continue;
        yield { pid, addr: vpn * PAGE_SIZE, pfn: ptePfn(lo, w.hi) };
      }
    }
  }
}

/** Mappings of frames that are not alive, as `alive` says. */
export function staleMappings(
  base: Base,
  processes: Iterable<Process>,
  alive: (pfn: number) => boolean,
): StaleMapping[] {
  const stale: StaleMapping[] = [];
  for (const m of mappedFrames(base, processes)) if (!alive(m.pfn)) stale.push(m);
  return stale;
}

/** Frames that scattered mappings lead to, for whoever asks what is still reachable. */
export function reachable(base: Base, processes: Iterable<Process>): Set<number> {
  const frames = new Set<number>();
  for (const { pfn } of mappedFrames(base, processes)) frames.add(pfn);
  return frames;
}

/** Throws RuleViolation where a process can reach freed memory. */
export function refuseStale(stale: readonly StaleMapping[]): void {
  const [first] = stale;
  if (first === undefined) return;
  throw new RuleViolation(
    "mapped frames are alive",
    first.pfn,
    `it was freed and process ${first.pid} maps it at 0x${first.addr.toString(16)} (${stale.length} such pages)`,
  );
}
