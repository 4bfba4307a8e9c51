/**
 * Numbers of the system-call interface and of VMAs: protections, mapping flags,
 * advice, errno, VMA flags, results of a fault.
 *
 * Facts: include/uapi/asm-generic/mman*.h, errno-base.h, include/linux/mm.h of
 * 6.18 for x86-64.
 */

export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;

export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_SHARED_VALIDATE = 3;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_LOCKED = 0x2000;
export const MAP_NORESERVE = 0x4000;
export const MAP_POPULATE = 0x8000;
export const MAP_HUGETLB = 0x40000;
export const MAP_FIXED_NOREPLACE = 0x100000;

export const MREMAP_MAYMOVE = 1;
export const MREMAP_FIXED = 2;
export const MREMAP_DONTUNMAP = 4;

export const MADV_NORMAL = 0;
export const MADV_RANDOM = 1;
export const MADV_SEQUENTIAL = 2;
export const MADV_WILLNEED = 3;
export const MADV_DONTNEED = 4;
export const MADV_FREE = 8;
export const MADV_REMOVE = 9;
export const MADV_DONTFORK = 10;
export const MADV_DOFORK = 11;
export const MADV_MERGEABLE = 12;
export const MADV_UNMERGEABLE = 13;
export const MADV_HUGEPAGE = 14;
export const MADV_NOHUGEPAGE = 15;
export const MADV_WIPEONFORK = 18;
export const MADV_KEEPONFORK = 19;
export const MADV_COLD = 20;
export const MADV_PAGEOUT = 21;
export const MADV_POPULATE_READ = 22;
export const MADV_POPULATE_WRITE = 23;
export const MADV_COLLAPSE = 25;

// Negative, as functions of the kernel return them.
export const EPERM = -1;
export const ENOENT = -2;
export const EBADF = -9;
export const EAGAIN = -11;
export const ENOMEM = -12;
export const EACCES = -13;
export const EFAULT = -14;
export const EBUSY = -16;
export const EEXIST = -17;
export const EINVAL = -22;
/** Nobody will ever end what is waited for: the kernel has no such answer, its threads sleep on. */
export const EDEADLK = -35;
export const EOVERFLOW = -75;
export const EHWPOISON = -133;
export const EOPNOTSUPP = -95;

// What a fault comes to. 0 is: it was handled, try again.
/** Out of memory: the errno itself. */
export const FAULT_OOM = -12;
export const FAULT_SIGSEGV = -1011;
/** The process gets SIGBUS. */
export const FAULT_SIGBUS = -1007;
export const FAULT_HWPOISON = -1133;
/**
 * VM_FAULT_RETRY (0x400): the process's userfaultfd is to say what is in the page. Whoever
 * faults lets go of its locks, calls `Faults.onRetry`, and begins again.
 */
export const FAULT_RETRY = -1400;

export const VM_READ = 1;
export const VM_WRITE = 2;
export const VM_EXEC = 4;
export const VM_SHARED = 8;
export const VM_MAYREAD = 0x10;
export const VM_MAYWRITE = 0x20;
export const VM_MAYEXEC = 0x40;
export const VM_MAYSHARE = 0x80;
/** A userfaultfd hears of pages that are missing. */
export const VM_UFFD_MISSING = 0x200;
export const VM_PFNMAP = 0x400;
export const VM_LOCKED = 0x2000;
export const VM_IO = 0x4000;
export const VM_SEQ_READ = 0x8000;
export const VM_RAND_READ = 0x10000;
export const VM_DONTCOPY = 0x20000;
export const VM_DONTEXPAND = 0x40000;
export const VM_ACCOUNT = 0x100000;
export const VM_NORESERVE = 0x200000;
export const VM_HUGETLB = 0x400000;
export const VM_WIPEONFORK = 0x2000000;
export const VM_DONTDUMP = 0x4000000;
export const VM_MIXEDMAP = 0x10000000;
export const VM_HUGEPAGE = 0x20000000;
export const VM_NOHUGEPAGE = 0x40000000;
/** Bit 31: a negative number as an integer. */
export const VM_MERGEABLE = 1 << 31;

/** Pages of a PMD: 2 MiB. */
export const PMD_ORDER = 9;
export const PMD_PAGES = 512;
/**
 * Pages of a process's address space: 8 TiB, so that a page number is a 31-bit
 * integer (simplified: the kernel has 128 TiB).
 */
export const TASK_PAGES = 0x7fffffff;
/** mmap_min_addr: 64 KiB. */
export const MIN_MAP_PAGE = 16;
/** sysctl_max_map_count */
export const MAX_MAP_COUNT = 65530;

/** mm->flags: some page of it was pinned once. */
export const MMF_HAS_PINNED = 1 << 28;
