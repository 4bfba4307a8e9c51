/**
 * The kernel's own objects: caches of processes, VMAs, reverse-map nodes, files
 * and what else page descriptors hang together by.
 *
 * They are slab objects in every design alike; only what describes their slabs
 * differs. Sizes are those of 6.18 (memdesc-facts §5 and its BTF).
 */
import { STRUCTS } from "../layout/generated/tables.js";
import type { CacheSpec } from "../design/word/axis.js";

const spec = (name: string, struct: keyof typeof STRUCTS, size?: number): CacheSpec => {
  const { fidelity, source } = STRUCTS[struct];
  return { name, size: size ?? STRUCTS[struct].size, fidelity, source };
};

/** A general cache of that size: arrays of pages come from it. */
function kmalloc(size: number): CacheSpec {
  return {
    name: `kmalloc-${size}`,
    size,
    fidelity: "derived",
    source: "kmalloc caches of 6.18 (powers of two; without kmalloc-96 and -192)",
  };
}

/** Fields of a large folio, and a bit for each page of a PMD that is exclusive. */
const DEVICE_FOLIO_LARGE_BYTES = STRUCTS.FOLIO_LARGE.size + 512 / 8;

/** In this order behind the caches of a design's descriptors. */
export const OBJECTS: readonly CacheSpec[] = [
  spec("mm_struct", "MM"),
  spec("vm_area_struct", "VMA"),
  spec("anon_vma", "ANON_VMA"),
  spec("anon_vma_chain", "AVC"),
  spec("inode", "INODE"),
  spec("radix_tree_node", "XA_NODE"),
  spec("filp", "FILE"),
  spec("mem_cgroup", "MEMCG"),
  spec("vm_struct", "VM_STRUCT"),
  spec("vmap_area", "VMAP_AREA"),
  spec("scamem", "SCAMEM"),
  spec("ksm_stable_node", "KSM_NODE"),
  kmalloc(64),
  kmalloc(128),
  kmalloc(256),
  kmalloc(512),
  kmalloc(1024),
  kmalloc(2048),
  { ...spec("pfn index node", "XA_NODE"), source: "a node as struct xa_node, for frames" },
  spec("mmu_notifier_subscriptions", "MMU_SUBSCRIPTIONS"),
  spec("mmu_interval_notifier", "MMU_INTERVAL"),
  spec("dev_pagemap", "DEV_PAGEMAP"),
  spec("maple_node", "MAPLE_NODE"),
  { ...spec("device folio", "FOLIO"), source: "struct folio, for device memory without pages" },
  {
    ...spec("device folio (large)", "FOLIO_LARGE", DEVICE_FOLIO_LARGE_BYTES),
    source: "struct folio, and a bit for each of 512 pages",
  },
  spec("userfaultfd_ctx_cache", "USERFAULTFD_CTX"),
];

export const O_MM = 0;
export const O_VMA = 1;
export const O_ANON_VMA = 2;
export const O_AVC = 3;
export const O_INODE = 4;
export const O_XA_NODE = 5;
export const O_FILE = 6;
export const O_MEMCG = 7;
export const O_VM_STRUCT = 8;
export const O_VMAP_AREA = 9;
export const O_SCAMEM = 10;
export const O_KSM_NODE = 11;
/** kmalloc-64; the next powers of two up to 2048 follow. */
export const O_KMALLOC = 12;
export const O_INDEX_NODE = 18;
export const O_MMU_SUBSCRIPTIONS = 19;
export const O_MMU_INTERVAL = 20;
export const O_DEV_PAGEMAP = 21;
export const O_MAPLE_NODE = 22;
export const O_DEVICE_FOLIO = 23;
export const O_DEVICE_FOLIO_LARGE = 24;
export const O_USERFAULTFD_CTX = 25;
