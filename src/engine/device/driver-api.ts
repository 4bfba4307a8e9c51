/**
 * Everything that a driver imports, in one place: device memory and what its
 * callbacks are given, migration, HMM and notifiers, and the few numbers of the
 * kernel that they speak in. docs/writing-a-driver.md is written on it.
 */
export { ERRNO, MmError } from "../errors.js";
export { PAGE_SIZE, type Ref } from "../../units.js";

// Page maps and the pages of a device.
export { Devices } from "./devices.js";
export type { DeviceFault } from "./device-fault.js";
export type { DevPagemap, PhysicalRange } from "./pagemap.js";
export {
  MEMORY_DEVICE_COHERENT,
  MEMORY_DEVICE_PCI_P2PDMA,
  MEMORY_DEVICE_PRIVATE,
} from "./kinds.js";
export { Handles } from "./handles.js";
export { DriverLock } from "./driver-lock.js";

// Migration.
export {
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_COHERENT,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateArgs,
  type MigrateVmaArgs,
} from "./migrate-args.js";
export { flagsAt, MIGRATE_PFN_MIGRATE } from "./migrate-pfn.js";
export type { GivePage } from "./transfers.js";

// What a process maps, and hearing of its changes.
export {
  HMM_PFN_DMA_MAPPED,
  HMM_PFN_INOUT_FLAGS,
  HMM_PFN_P2PDMA,
  HMM_PFN_P2PDMA_BUS,
  HMM_PFN_REQ_FAULT,
  HMM_PFN_REQ_WRITE,
  HMM_PFN_WRITE,
  type HmmKind,
} from "./hmm/hmm-pfn.js";
export type { HmmRange } from "./hmm/hmm-range.js";
export {
  ALL_PAGES,
  MMU_NOTIFY_RELEASE,
  MMU_NOTIFY_UNMAP,
  type MmuNotifierRange,
} from "../process/notifier/events.js";
export type { Process } from "../process/process.js";

// Addresses that a device sees, and memory of one device for another.
export { DMA_MAPPING_ERROR, DmaDevice, type DmaDeviceConfig } from "./hmm/dma-device.js";
export type { HmmDmaMap } from "./hmm/hmm-dma.js";
export {
  PCI_P2PDMA_MAP_BUS_ADDR,
  PCI_P2PDMA_MAP_NOT_SUPPORTED,
  PCI_P2PDMA_MAP_THRU_HOST_BRIDGE,
  type P2pdmaMapState,
} from "./hmm/p2pdma.js";

// Errno, results of a fault, sizes.
export { EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM, ENOSPC, EPERM } from "./kinds.js";
export { FAULT_SIGBUS, PMD_ORDER, PMD_PAGES } from "../process/constants.js";
