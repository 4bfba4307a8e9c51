/**
 * All locks of a process under which its page tables change: taken once, when the
 * first notifier comes, so that no change is under way whose start nobody heard.
 *
 * Without it an invalidation that began before could end afterwards and count down
 * what it never counted up, and a reader could take its half-done entries for good.
 * Locks are taken in the kernel's order, files before anonymous memory, by one
 * process at a time: two that share several could wait for each other.
 *
 * Source: mm/vma.c of 6.18 (mm_take_all_locks, mm_drop_all_locks).
 */
import type { Ref } from "../../../units.js";
import {
  ADDRESS_SPACE_I_MMAP_RWSEM,
  ANON_VMA_RWSEM,
  AVC_ANON_VMA,
  AVC_SAME_VMA_NEXT,
  VMA_ANON_VMA_CHAIN,
} from "../../layout/generated/offsets.js";
import { S_ALL_LOCKS, type Core } from "../core.js";
import { downWrite, spinLock, spinUnlock, upWrite } from "../locks.js";
import type { Vmas } from "../vmas.js";

const NONE = 0 as Ref;

/** What was locked: each file's mapping and each anon_vma once. */
export interface AllLocks {
  readonly mappings: ReadonlySet<Ref>;
  readonly anonVmas: ReadonlySet<Ref>;
}

/** mm_take_all_locks: the process is locked for writing. */
export function takeAllLocks(core: Core, vmas: Vmas, mm: Ref): AllLocks {
  const { w } = core;
  spinLock(w, core.state, S_ALL_LOCKS);
  const mappings = new Set<Ref>();
  const anonVmas = new Set<Ref>();
  for (let vma = vmas.tree.first(mm); vma !== NONE; vma = vmas.tree.next(vma)) {
    const mapping = vmas.mapping(vma);
    if (mapping !== NONE) mappings.add(mapping);
    let chain = core.pointer(vma, VMA_ANON_VMA_CHAIN);
    for (; chain !== NONE; chain = core.pointer(chain, AVC_SAME_VMA_NEXT))
      anonVmas.add(core.pointer(chain, AVC_ANON_VMA));
  }
  for (const mapping of mappings) downWrite(w, mapping, ADDRESS_SPACE_I_MMAP_RWSEM);
  for (const av of anonVmas) downWrite(w, av, ANON_VMA_RWSEM);
  return { mappings, anonVmas };
}

/** mm_drop_all_locks */
export function dropAllLocks({ w, state }: Core, held: AllLocks): void {
  for (const av of held.anonVmas) upWrite(w, av, ANON_VMA_RWSEM);
  for (const mapping of held.mappings) upWrite(w, mapping, ADDRESS_SPACE_I_MMAP_RWSEM);
  spinUnlock(w, state, S_ALL_LOCKS);
}
