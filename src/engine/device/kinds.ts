/**
 * Kinds of device memory, and the errno that page maps answer with.
 *
 * Facts: include/linux/memremap.h (enum memory_type), device-facts §1.5.
 */

/** Memory that the processor cannot reach: a device brings a page back where one is touched. */
export const MEMORY_DEVICE_PRIVATE = 1;
/** Memory of a device that the processor reads and writes where it is (CXL, XGMI). */
export const MEMORY_DEVICE_COHERENT = 2;
/** Persistent memory under a file system. */
export const MEMORY_DEVICE_FS_DAX = 3;
/** Memory that is mapped as it is, whole: device-dax. */
export const MEMORY_DEVICE_GENERIC = 4;
/** A PCI BAR that other devices read and write by DMA. */
export const MEMORY_DEVICE_PCI_P2PDMA = 5;

export const MEMORY_TYPE_NAMES = [
  "uninitialised",
  "private",
  "coherent",
  "fs-dax",
  "generic",
  "p2pdma",
] as const;

// Negative, as functions of the kernel return them.
export const EPERM = -1;
export const ENOENT = -2;
export const EINTR = -4;
export const ENXIO = -6;
export const EAGAIN = -11;
export const ENOMEM = -12;
export const EFAULT = -14;
export const EBUSY = -16;
export const EEXIST = -17;
export const EINVAL = -22;
export const ENOSPC = -28;
export const ERANGE = -34;
export const EOPNOTSUPP = -95;
