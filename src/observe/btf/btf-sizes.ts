/**
 * Sizes of the kernel's page descriptors out of BTF: what
 * `Snapshot.structSizes` holds.
 *
 * A structure that a kernel does not have (struct folio before 5.16, ptdesc
 * before 6.6, zpdesc before 6.14) is simply not in the result.
 */
import { Btf } from "./btf.js";
import type { Note } from "../snapshot.js";

/** Structures that describe pages, or that a design would put in their place. */
export const DESCRIPTORS = [
  "page",
  "folio",
  "slab",
  "ptdesc",
  "zpdesc",
  "netmem_desc",
  "net_iov",
  "memdesc_flags_t",
  "dev_pagemap",
  "vm_struct",
  "vmap_area",
  "zone",
  "pglist_data",
  "mem_section",
  "free_area",
  "per_cpu_pages",
  "lruvec",
  "page_snapshot",
  "page_ext",
  "vm_area_struct",
  "anon_vma",
  "anon_vma_chain",
  "address_space",
  "mem_cgroup",
  "obj_cgroup",
  "slabobj_ext",
  "kmem_cache",
  "page_pool",
  "zspage",
  "pcpu_chunk",
  "mm_struct",
  "inode",
] as const;

/** sizeof by name. Throws InputError where it is no BTF. */
export function btfSizes(bytes: Uint8Array, file: string, notes: Note[]): Record<string, number> {
  const btf = new Btf(bytes, file);
  for (const text of btf.notes) notes.push({ subject: file, text });
  const sizes = new Map<string, number>();
  for (const name of DESCRIPTORS) {
    const id = btf.find(name);
    const size = id === null ? null : btf.sizeOf(id);
    if (size !== null && size > 0) sizes.set(name, size);
  }
  if (!sizes.has("page")) notes.push({ subject: file, text: "has no struct page: sizes unknown" });
  return Object.fromEntries(sizes);
}
