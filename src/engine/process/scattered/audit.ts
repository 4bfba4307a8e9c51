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
import type { Living } from "../operations.js";
import { OPS_SCATTERED } from "./user-map.js";

const NONE = 0 as Ref;

/** A page that a process can reach though its owner freed it. */
export interface StaleMapping {
  readonly pid: number;
  /** Byte address in that process. */
  readonly addr: number;
  readonly pfn: number;
}

/** Frames that processes map through mappings of that kind, in order of process and address. */
function* mappedFrames(
  base: Base,
  processes: Iterable<Living>,
  ops: number,
): Generator<StaleMapping> {
  const { vmas, tables, w } = base;
  for (const { mm, pid } of processes) {
    for (let vma = vmas.tree.first(mm); vma !== NONE; vma = vmas.tree.next(vma)) {
      if (vmas.ops(vma) !== ops) continue;
      for (let vpn = vmas.tree.start(vma); vpn < vmas.tree.end(vma); vpn++) {
        const table = tables.pteTable(mm, vpn);
        const lo = table === NONE ? 0 : w.load64(table, pteAt(vpn));
        if ((lo & PTE_THERE) === 0) continue;
        yield { pid, addr: vpn * PAGE_SIZE, pfn: ptePfn(lo, w.hi) };
      }
    }
  }
}

/** Mappings of frames that are not alive, as `alive` says; of scattered memory unless `ops` says another owner. */
export function staleMappings(
  base: Base,
  processes: Iterable<Living>,
  alive: (m: StaleMapping) => boolean,
  ops: number = OPS_SCATTERED,
): StaleMapping[] {
  const stale: StaleMapping[] = [];
  for (const m of mappedFrames(base, processes, ops)) if (!alive(m)) stale.push(m);
  return stale;
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
