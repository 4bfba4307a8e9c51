/**
 * The public API: boot a machine of a design, read a snapshot, populate one from
 * the other, compare, report. What is not exported here may change.
 */

// Numbers with kinds.
export {
  bytes,
  order,
  pageCount,
  pfn,
  ref,
  formatBytes,
  formatCount,
  parseBytes,
  PAGE_SIZE,
} from "./units.js";
export type { Bytes, NodeId, Order, PageCount, Pfn, Ref, ZoneIndex } from "./units.js";

// Designs as values.
export {
  CONVERSION_ORDER,
  DEFAULT_DESIGNS,
  DesignError,
  parseDesign,
  parseDesigns,
} from "./engine/design/presets.js";
export type { Design } from "./engine/design/presets.js";
export type { PageType, TypeName } from "./engine/design/word/axis-types.js";
export { T_ANON, T_FILE, T_PGTABLE, T_SLAB } from "./engine/design/word/axis-types.js";
export type { KnowsHead, PageDesign, PageImage } from "./engine/design/word/axis.js";

// The engine.
export { Machine } from "./engine/machine.js";
export type { MachineConfig } from "./engine/machine.js";
export type { MachineRequest, Stretch } from "./engine/machine-plan.js";
export { ERRNO, errnoName, MmError, RuleViolation, SignalError } from "./engine/errors.js";
export { CountedWords } from "./engine/words/counted.js";
export { PlainWords } from "./engine/words/plain.js";
export type { LineCount } from "./engine/words/counted.js";
export type { Words } from "./engine/words/words.js";

// Processes and their memory.
export { Kernel } from "./engine/process/kernel.js";
export type { KernelRequest, MemcgFacts } from "./engine/process/kernel.js";
export type { Base } from "./engine/process/base.js";
export type { Collapse } from "./engine/process/collapse.js";
export type { Compaction } from "./engine/process/compaction.js";
export type { Ksm, PageOf } from "./engine/process/ksm.js";
export type { Migration } from "./engine/process/migrate.js";
export type { Holder, Living, Operations } from "./engine/process/operations.js";
export type { Reclaim } from "./engine/process/reclaim.js";
export type { Splits } from "./engine/process/split.js";
export type { PageFacts } from "./engine/process/page-facts.js";
export { Process } from "./engine/process/process.js";
export type { MmapOptions, PagemapEntry, Rss, VmaFacts } from "./engine/process/process.js";
export { OpenFile } from "./engine/process/open-file.js";
export { UserPages } from "./engine/process/user-pages.js";
export type { PagesOf } from "./engine/process/user-pages.js";
export { UserFaultFd } from "./engine/process/userfaultfd.js";
export type {
  FaultHandler,
  FillOptions,
  RegisterModes,
  UserFault,
} from "./engine/process/userfaultfd.js";
export { DEFAULT_POLICY } from "./engine/process/policy.js";
export type { Policy, ThpChoice } from "./engine/process/policy.js";
export { FOLL_FORCE, FOLL_GET, FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE } from "./engine/process/gup.js";
export {
  MADV_COLD,
  MADV_COLLAPSE,
  MADV_DOFORK,
  MADV_DONTFORK,
  MADV_DONTNEED,
  MADV_FREE,
  MADV_HUGEPAGE,
  MADV_KEEPONFORK,
  MADV_MERGEABLE,
  MADV_NOHUGEPAGE,
  MADV_NORMAL,
  MADV_PAGEOUT,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_RANDOM,
  MADV_REMOVE,
  MADV_SEQUENTIAL,
  MADV_UNMERGEABLE,
  MADV_WILLNEED,
  MADV_WIPEONFORK,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_DONTUNMAP,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  VM_ACCOUNT,
  VM_DONTCOPY,
  VM_DONTDUMP,
  VM_DONTEXPAND,
  VM_EXEC,
  VM_HUGEPAGE,
  VM_HUGETLB,
  VM_IO,
  VM_LOCKED,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_MERGEABLE,
  VM_MIXEDMAP,
  VM_NOHUGEPAGE,
  VM_NORESERVE,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_READ,
  VM_SEQ_READ,
  VM_SHARED,
  VM_UFFD_MISSING,
  VM_WIPEONFORK,
  VM_WRITE,
} from "./engine/process/constants.js";

// Scattered memory and drivers.
export { scatteredMatrix } from "./engine/design/scattered-matrix.js";
export type { ScatteredMatrix } from "./engine/design/scattered-matrix.js";
export { Scattered } from "./engine/process/scattered/scattered.js";
export type { AreaOptions } from "./engine/process/scattered/scattered.js";
export { Area } from "./engine/process/scattered/area.js";
export type { PagesObject, UserMapOptions } from "./engine/process/scattered/area.js";
export type { FreeReport } from "./engine/process/scattered/scattered-base.js";
export type { ScatterList } from "./engine/process/scattered/scatter-list.js";
export type { KernelStack } from "./engine/process/scattered/kernel-stack.js";
export type { RingBuffer } from "./engine/process/scattered/ring-buffer.js";
export type { StaleMapping } from "./engine/process/scattered/audit.js";
export { DriverMemory, MEMORY_KINDS } from "./engine/drivers/driver-memory.js";
export type {
  DriverBlock,
  MemoryKind,
  MemoryNeeds,
  Offer,
} from "./engine/drivers/driver-memory.js";
export { PrivateWriter, RECOGNITIONS, TtmDevice } from "./engine/drivers/ttm.js";
export type { Recognition, TtmOptions, TtmTable, Unpopulated } from "./engine/drivers/ttm.js";

// Device memory: page maps, migration, HMM, and drivers that use them.
export { Devices } from "./engine/device/devices.js";
export type { DeviceFault } from "./engine/device/device-fault.js";
export { DevPagemap } from "./engine/device/pagemap.js";
export type {
  ByteRange,
  PagemapConfig,
  PagemapOps,
  PhysicalRange,
} from "./engine/device/pagemap.js";
export {
  MEMORY_DEVICE_COHERENT,
  MEMORY_DEVICE_FS_DAX,
  MEMORY_DEVICE_GENERIC,
  MEMORY_DEVICE_PCI_P2PDMA,
  MEMORY_DEVICE_PRIVATE,
} from "./engine/device/kinds.js";
export {
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_COHERENT,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateArgs,
} from "./engine/device/migrate-args.js";
export type { MigrateVmaArgs } from "./engine/device/migrate-args.js";
export {
  flagsAt,
  MIGRATE_PFN_COMPOUND,
  MIGRATE_PFN_MIGRATE,
  MIGRATE_PFN_VALID,
  MIGRATE_PFN_WRITE,
} from "./engine/device/migrate-pfn.js";
export { DriverCalls } from "./engine/device/driver-calls.js";
export { DriverLock } from "./engine/device/driver-lock.js";
export { Handles } from "./engine/device/handles.js";
export { ManagedDevice } from "./engine/device/managed-device.js";
export type { GivePage } from "./engine/device/transfers.js";
export {
  HMM_PFN_REQ_FAULT,
  HMM_PFN_REQ_WRITE,
  HMM_PFN_WRITE,
} from "./engine/device/hmm/hmm-pfn.js";
export type { HmmRange } from "./engine/device/hmm/hmm-range.js";
export {
  ALL_PAGES,
  MMU_NOTIFY_MIGRATE,
  MMU_NOTIFY_RELEASE,
  MMU_NOTIFY_UNMAP,
} from "./engine/process/notifier/events.js";
export type { IntervalOps, MmuNotifierRange } from "./engine/process/notifier/events.js";
export { FAULT_OOM, FAULT_SIGBUS } from "./engine/process/constants.js";
export type { OffsetAllocator } from "./engine/drivers/allocators/axis.js";
export { BitmapAllocator } from "./engine/drivers/allocators/bitmap.js";
export { BuddyAllocator } from "./engine/drivers/allocators/buddy.js";
export { GenPoolAllocator } from "./engine/drivers/allocators/gen-pool.js";
export { OutsideListAllocator } from "./engine/drivers/allocators/outside-list.js";
export { TtmRangeAllocator } from "./engine/drivers/allocators/ttm-ranges.js";
export { GpuTable } from "./engine/drivers/gpu-table.js";
export { KfdDevice } from "./engine/drivers/kfd/kfd-device.js";
export type { KfdConfig } from "./engine/drivers/kfd/kfd-device.js";
export { SvmRangeList } from "./engine/drivers/kfd/svm-ranges.js";
export { NouveauDmem, NouveauSvm } from "./engine/drivers/nouveau/nouveau-dmem.js";
export { SecureGuest } from "./engine/drivers/uvmem/secure-guest.js";
export { Ultravisor } from "./engine/drivers/uvmem/ultravisor.js";
export { Uvmem } from "./engine/drivers/uvmem/uvmem.js";
export { XeDevice, XeSvm } from "./engine/drivers/xe/xe-device.js";
export { inspectDevices, watchDevices } from "./engine/sanitizer/device/sanitizer.js";
export { inspectKernel, watchKernel } from "./engine/sanitizer/process/sanitizer.js";
export type { Holdings } from "./engine/sanitizer/process/shape.js";
export type { DeviceRequest, PhysicalWindow } from "./engine/machine-plan.js";
export { MirrorDevice } from "./engine/drivers/mirror/mirror-device.js";
export type { MirrorConfig } from "./engine/drivers/mirror/mirror-device.js";
export { Mirror } from "./engine/drivers/mirror/mirror.js";
export type { Answer } from "./engine/drivers/mirror/mirror.js";
export { snapshotName } from "./engine/drivers/mirror/snapshot-codes.js";
export { PeerGpu } from "./engine/drivers/rdma/peer-gpu.js";
export type { PeerGpuConfig } from "./engine/drivers/rdma/peer-gpu.js";
export {
  IB_ACCESS_LOCAL_WRITE,
  IB_ACCESS_ON_DEMAND,
  IB_ACCESS_REMOTE_READ,
  IB_ACCESS_REMOTE_WRITE,
  RdmaDevice,
} from "./engine/drivers/rdma/rdma-device.js";
export type { PeerWay, RdmaConfig } from "./engine/drivers/rdma/rdma-device.js";
export { MemoryRegion } from "./engine/drivers/rdma/memory-region.js";
export type { Completion, RegionCounts, RegionPage } from "./engine/drivers/rdma/memory-region.js";

// Scenarios for `memdesc run`.
export { defineScenario, ScenarioError } from "./scenario/scenario.js";
export type {
  Scenario,
  ScenarioContext,
  ScenarioMachine,
  StepOptions,
  Value,
} from "./scenario/scenario.js";

// A real Linux.
export { canReadLive, openSource } from "./observe/source.node.js";
export { writeCapture } from "./observe/capture/capture.node.js";
export { classify } from "./observe/classify/classify.js";
export { flagTotals } from "./observe/classify/flag-totals.js";
export { InputError } from "./observe/input-error.js";
export { KINDS } from "./observe/kinds.js";
export type { Kind } from "./observe/kinds.js";
export type { Classification, ObjectRuns } from "./observe/objects.js";
export type { Snapshot } from "./observe/snapshot.js";

// Snapshot ⇄ machine, and the report.
export { populate } from "./observe/roundtrip/populate.js";
export { compare } from "./observe/roundtrip/compare.js";
export { inspect } from "./report/build-inspect.node.js";
export { buildPage } from "./report/build-page.node.js";
export type { InspectReport } from "./report/model.js";
export type { PageReport } from "./report/page-model.js";

// Recorded workloads.
export { openTrace } from "./trace/open.node.js";
export { emptyMachine, traceSnapshots } from "./trace/input.node.js";
export { EVENT_NAMES, EventBatch, EVENTS } from "./trace/events.js";
export type { EventKind, EventSpec } from "./trace/events.js";
export type { ByteReader, Damage, EventSource, TraceAbout, TraceNote } from "./trace/source.js";
export type { TraceSink } from "./trace/sink.js";
export { openTraceWriter } from "./trace/file/writer.node.js";
export { writeTrace } from "./trace/file/import.node.js";
export { analyse } from "./trace/analyse.js";
export type { Analysis, AnalyseOptions, Described } from "./trace/analyse.js";
export { replayDesign } from "./trace/replay/run.js";
export type { DesignReplay, ReplayInput } from "./trace/replay/run.js";
export { replayReport } from "./report/replay-model.js";
export type { DesignCost, ReplayReport } from "./report/replay-model.js";
