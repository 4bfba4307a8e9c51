/**
 * What the rules of the process layer look at: one walk over a kernel between
 * two operations.
 *
 * Nothing is taken from a list that could be broken where there is another way:
 * kernel objects are those in use in their slabs, folios are found frame by
 * frame, mappings in the page tables of every address space, cached pages in
 * every file's tree. The lists and counts are what the rules then compare. The
 * words do not say who outside holds a reference (a driver, a pin): whoever
 * checks says it in `Holdings`.
 */
import type { Ref } from "../../../units.js";
import { MM_MM_ID, MM_VMA_FIRST, VMA_VM_PGOFF } from "../../layout/generated/offsets.js";
import {
  isFolioType,
  T_ANON,
  T_MISC,
  T_PGTABLE,
  type PageType,
} from "../../design/word/axis-types.js";
import type { Base } from "../../process/base.js";
import type { Core } from "../../process/core.js";
import type { Kernel } from "../../process/kernel.js";
import { O_MM, O_VMA, OBJECTS } from "../../process/objects.js";
import { deviceFolios, deviceLayerOf, type DeviceLayer } from "../device/layer.js";
import { slabsOf, type SlabView } from "../view.js";
import { walkTables, type TableView } from "./entries.js";
import { walkFiles, type FileView } from "./file-view.js";
import type { FolioView, Holdings, Mapping, MmView, VmaView } from "./shape.js";

export type { Holdings } from "./shape.js";
import { tally, type Tally } from "./tally.js";

const NONE = 0 as Ref;

export interface ProcessView extends Tally {
  readonly kernel: Kernel;
  readonly base: Base;
  readonly core: Core;
  readonly step: number;
  readonly holdings: Holdings;
  /** Objects in use by kind (objects.ts), in order of address. */
  readonly objects: readonly ReadonlySet<Ref>[];
  readonly slabs: readonly SlabView[];
  readonly mms: readonly MmView[];
  readonly files: readonly FileView[];
  /** By descriptor: those of RAM, and of device memory that the processor reads. */
  readonly folios: ReadonlyMap<Ref, FolioView>;
  /** Device memory; null for a kernel without. */
  readonly device: DeviceLayer | null;
  /** Folios of device-private memory in service, by descriptor. */
  readonly privates: ReadonlyMap<Ref, FolioView>;
  /** Whether something can be an object of that kind that is in use. */
  isObject(kind: number, ref: Ref): boolean;
  /** The folio that a page belongs to; undefined for a page that is no folio. */
  folioAt(pfn: number): FolioView | undefined;
  /** The folio that a device-private page in service belongs to. */
  privateAt(page: number): FolioView | undefined;
  /** The VMA over a page. */
  vmaAt(mm: MmView, vpn: number): VmaView | undefined;
}

export const addressOf = (vpn: number): string => `0x${(vpn * 4096).toString(16)}`;

/** `process 3 at 0x7f0000`, for reports. */
export const place = (mm: MmView, vpn: number): string =>
  `${mm.pid < 0 ? `address space ${mm.id} without a process` : `process ${mm.pid}`} at ${addressOf(vpn)}`;

/** Who holds a folio, in words: one place of each process, at most three of them. */
export function holderOf(folio: FolioView | undefined): string {
  if (folio === undefined) return "nobody";
  const first = new Map<MmView, Mapping>();
  for (const m of folio.mappings) if (!first.has(m.mm)) first.set(m.mm, m);
  const shown = [...first.values()].slice(0, 3);
  const names = shown.map((m) => place(m.mm, m.entry.vpn));
  const more = folio.mappings.length - shown.length;
  if (more > 0) names.push(`${more} more mappings`);
  names.push(...folio.holders.slice(0, 4));
  return names.length === 0 ? "nobody" : names.join(", ");
}

/** Walks the kernel. */
export function processView(kernel: Kernel, holdings: Holdings = {}): ProcessView {
  const { base } = kernel;
  const { core } = base;
  const { machine, design } = core;
  const slabs = slabsOf(machine, framesOfOthers(kernel));
  const objects = objectsInUse(kernel, slabs);
  const pids = new Map([...kernel.processes.values()].map((p) => [p.mm, p.pid]));
  const mms = [...objects[O_MM]].map((mm) => mmView(kernel, mm, pids.get(mm) ?? -1, objects));
  const folios = findFolios(kernel);
  const device = deviceLayerOf(kernel);
  const privates = new Map<Ref, FolioView>();
  if (device !== null) findDeviceFolios(device, folios, privates);
  const files = walkFiles(kernel, objects);
  const ofDevice = (page: number, from: ReadonlyMap<Ref, FolioView>): FolioView | undefined =>
    device !== null && device.zoneDevice.refcountOf(page) !== 0
      ? from.get(device.zoneDevice.of(page).record.folioOf(page))
      : undefined;
  const folioAt = (pfn: number): FolioView | undefined => {
    if (pfn < 0 || pfn >= (device?.numbers.firstPrivate ?? machine.config.frames)) return undefined;
    if (pfn >= machine.deviceFirst) return ofDevice(pfn, folios);
    return isFolioType(design.typeOf(pfn)) ? folios.get(design.descriptorOf(pfn)) : undefined;
  };
  const privateAt = (page: number): FolioView | undefined =>
    device !== null && page >= device.numbers.firstPrivate ? ofDevice(page, privates) : undefined;
  return {
    ...tally(kernel, mms, files, folios, { device, folioAt, privateAt }, holdings),
    kernel,
    base,
    core,
    step: core.step,
    holdings,
    objects,
    slabs,
    mms,
    files,
    folios,
    device,
    privates,
    isObject: (kind, ref) => objects[kind].has(ref),
    folioAt,
    privateAt,
    vmaAt: (mm, vpn) => {
      let [lo, hi] = [0, mm.vmas.length];
      while (lo < hi) {
        const mid = (lo + hi) >> 1;
        if (mm.vmas[mid].end > vpn) hi = mid;
        else lo = mid + 1;
      }
      const found = mm.vmas[lo];
      return found !== undefined && found.start <= vpn ? found : undefined;
    },
  };
}

/** Frames of the heap that are page tables or arrays of scattered memory: they say so themselves. */
function framesOfOthers(kernel: Kernel): Set<number> {
  const { machine, design } = kernel.base.core;
  const frames = new Set<number>();
  machine.heap.forEachFrame((pfn) => {
    const type = design.typeOf(pfn);
    if (type === T_PGTABLE || type === T_MISC) frames.add(pfn);
  });
  return frames;
}

/** Frames of arrays that are too large for a cache: pages of the heap that are Misc. */
export function framesOfArrays(kernel: Kernel): number[] {
  const { machine, design } = kernel.base.core;
  const frames: number[] = [];
  machine.heap.forEachFrame((pfn) => {
    if (design.typeOf(pfn) === T_MISC) frames.push(pfn);
  });
  return frames;
}

/** Tables of the kernel's own range: none before its first area. */
export function kernelTables(kernel: Kernel): readonly TableView[] {
  const { base } = kernel;
  const { initMm } = base.core;
  return base.tables.pgd(initMm) === NONE ? [] : walkTables(base, initMm).tables;
}

/** All objects of each kind that are handed out: neither on a free list nor fresh. */
function objectsInUse(kernel: Kernel, slabs: readonly SlabView[]): Set<Ref>[] {
  const { caches, design } = kernel.machine;
  const first = design.caches.length;
  const found = OBJECTS.map(() => new Set<Ref>());
  for (const slab of slabs) {
    if (slab.cache < first || slab.cache >= first + OBJECTS.length) continue;
    const free = new Set(slab.free);
    const used = caches.perSlab[slab.cache] - slab.fresh;
    for (let i = 0; i < used; i++) {
      const object = (slab.page + i * caches.stride[slab.cache]) as Ref;
      if (!free.has(object)) found[slab.cache - first].add(object);
    }
  }
  return found;
}

function mmView(
  kernel: Kernel,
  mm: Ref,
  pid: number,
  objects: readonly ReadonlySet<Ref>[],
): MmView {
  const { base } = kernel;
  const { w, vmas } = base;
  const list: VmaView[] = [];
  const known = objects[O_VMA];
  let at = w.load32(mm, MM_VMA_FIRST) as Ref;
  while (at !== NONE && known.has(at) && list.length <= known.size) {
    list.push({
      vma: at,
      start: vmas.tree.start(at),
      end: vmas.tree.end(at),
      flags: vmas.flags(at),
      pgoff: w.load32(at, VMA_VM_PGOFF),
    });
    at = vmas.tree.next(at);
  }
  return { mm, pid, id: w.load32(mm, MM_MM_ID), vmas: list, ...walkTables(base, mm) };
}

/** Every folio of the frames that were given to the allocator, by its descriptor. */
function findFolios(kernel: Kernel): Map<Ref, FolioView> {
  const { design } = kernel.machine;
  const folios = new Map<Ref, FolioView>();
  for (const { start, end } of kernel.given) {
    for (let pfn = start; pfn < end;) {
      const type = design.typeOf(pfn);
      const order = design.orderOf(pfn);
      const whole = design.blockOf(pfn) === pfn;
      if (whole && isFolioType(type)) {
        const ref = design.descriptorOf(pfn);
        folios.set(ref, freshFolio(ref, pfn, order, type));
      }
      pfn += whole ? 2 ** order : 1;
    }
  }
  return folios;
}

/** Every folio of a device that is in service: frames among the others, private ones by themselves. */
function findDeviceFolios(
  device: DeviceLayer,
  folios: Map<Ref, FolioView>,
  privates: Map<Ref, FolioView>,
): void {
  const { design } = device.base.core;
  for (const { map, page, order, ref } of deviceFolios(device)) {
    const isPrivate = page >= device.numbers.firstPrivate;
    const type = isPrivate ? T_ANON : design.typeOf(page);
    const folio = freshFolio(ref, page, order, type);
    // Idle device-dax memory counts one that nobody has.
    if (device.zoneDevice.countsFromOne(map)) {
      folio.refs++;
      folio.holders.push(`page map ${map.name}`);
    }
    (isPrivate ? privates : folios).set(ref, folio);
  }
}

const freshFolio = (ref: Ref, pfn: number, order: number, type: PageType): FolioView => ({
  ref,
  pfn,
  order,
  type,
  mappings: [],
  ptes: new Int32Array(2 ** order),
  pmds: 0,
  cached: 0,
  slots: 0,
  migrating: 0,
  refs: 0,
  pins: 0,
  holders: [],
});
