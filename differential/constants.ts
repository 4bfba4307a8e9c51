/**
 * Numbers of the system-call interface as programs use and print them.
 *
 * Facts: include/uapi/asm-generic/mman-common.h, mman.h, linux/mman.h,
 * falloc.h, errno-base.h for x86-64. The engine has a list of its own on
 * purpose: a wrong number there must show as a difference.
 */
export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;

export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_TYPE = 15;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_NORESERVE = 0x4000;
export const MAP_POPULATE = 0x8000;
export const MAP_HUGETLB = 0x40000;
export const MAP_FIXED_NOREPLACE = 0x100000;

export const MREMAP_MAYMOVE = 1;
export const MREMAP_FIXED = 2;
export const MREMAP_DONTUNMAP = 4;

export const MADV_RANDOM = 1;
export const MADV_DONTNEED = 4;
export const MADV_FREE = 8;
export const MADV_MERGEABLE = 12;
export const MADV_HUGEPAGE = 14;
export const MADV_NOHUGEPAGE = 15;
export const MADV_COLD = 20;
export const MADV_PAGEOUT = 21;
export const MADV_POPULATE_READ = 22;
export const MADV_POPULATE_WRITE = 23;
export const MADV_COLLAPSE = 25;

export const MS_ASYNC = 1;
export const MS_INVALIDATE = 2;
export const MS_SYNC = 4;

export const FALLOC_KEEP_SIZE = 1;
export const FALLOC_PUNCH_HOLE = 2;

/** Bits or values by the name that programs are printed with. */
export type Names = Readonly<Record<string, number>>;

export const PROT_NAMES: Names = { r: PROT_READ, w: PROT_WRITE, x: PROT_EXEC };
export const MAP_NAMES: Names = {
  shared: MAP_SHARED,
  private: MAP_PRIVATE,
  fixed: MAP_FIXED,
  anonymous: MAP_ANONYMOUS,
  noreserve: MAP_NORESERVE,
  populate: MAP_POPULATE,
  hugetlb: MAP_HUGETLB,
  noreplace: MAP_FIXED_NOREPLACE,
};
export const MREMAP_NAMES: Names = {
  maymove: MREMAP_MAYMOVE,
  fixed: MREMAP_FIXED,
  dontunmap: MREMAP_DONTUNMAP,
};
export const MADV_NAMES: Names = {
  dontneed: MADV_DONTNEED,
  free: MADV_FREE,
  mergeable: MADV_MERGEABLE,
  hugepage: MADV_HUGEPAGE,
  nohugepage: MADV_NOHUGEPAGE,
  cold: MADV_COLD,
  pageout: MADV_PAGEOUT,
  "populate-read": MADV_POPULATE_READ,
  "populate-write": MADV_POPULATE_WRITE,
  collapse: MADV_COLLAPSE,
};
export const MS_NAMES: Names = { async: MS_ASYNC, invalidate: MS_INVALIDATE, sync: MS_SYNC };
export const FALLOC_NAMES: Names = { keep: FALLOC_KEEP_SIZE, punch: FALLOC_PUNCH_HOLE };

const ERRNO: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  3: "ESRCH",
  4: "EINTR",
  5: "EIO",
  9: "EBADF",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  16: "EBUSY",
  17: "EEXIST",
  19: "ENODEV",
  22: "EINVAL",
  26: "ETXTBSY",
  27: "EFBIG",
  28: "ENOSPC",
  38: "ENOSYS",
  75: "EOVERFLOW",
  95: "EOPNOTSUPP",
  133: "EHWPOISON",
};

/** The name of an errno, or the number itself. */
export function errnoName(error: number): string {
  return ERRNO[error] ?? `errno ${error}`;
}
