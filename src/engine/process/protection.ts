/**
 * From a VMA's flags to the rights of its page-table entries.
 *
 * Source: arch/x86/mm/pgprot.c (protection_map) and mm/mmap.c
 * (vma_wants_writenotify) of 6.18: private memory is never mapped writable before
 * it is written; shared memory is, but where the file wants to hear of the first
 * write.
 */
import { VM_EXEC, VM_READ, VM_SHARED, VM_WRITE } from "./constants.js";
import {
  PTE_ACCESSED,
  PTE_NX_HI,
  PTE_PRESENT,
  PTE_PROTNONE,
  PTE_USER,
  PTE_WRITE,
} from "./entry.js";

/** Low half of a fresh entry's rights; `notify`: the file hears of writes. */
export function pteRights(flags: number, notify: boolean): number {
  if ((flags & (VM_READ | VM_WRITE | VM_EXEC)) === 0) return PTE_PROTNONE | PTE_ACCESSED;
  const shared = (flags & VM_SHARED) !== 0 && (flags & VM_WRITE) !== 0 && !notify;
  return PTE_PRESENT | PTE_USER | PTE_ACCESSED | (shared ? PTE_WRITE : 0);
}

/** High half: not executable unless the VMA is. */
export const pteNx = (flags: number): number => ((flags & VM_EXEC) !== 0 ? 0 : PTE_NX_HI);

/** access_error: whether the VMA forbids such an access. */
export function forbids(flags: number, write: boolean): boolean {
  if (write) return (flags & VM_WRITE) === 0;
  return (flags & (VM_READ | VM_WRITE | VM_EXEC)) === 0;
}
