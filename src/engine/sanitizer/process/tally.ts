/**
 * Who names which folio: every mapping, every page of a cache, every swap slot
 * and every outside holder is counted once. What names no folio is kept too: it
 * is what the rules of use after free and of type confusion report.
 */
import type { Ref } from "../../../units.js";
import { countsBarePages } from "../../design/word/axis.js";
import { MISC_VMALLOC, T_MISC } from "../../design/word/axis-types.js";
import { PIN_BIAS } from "../../process/folio-fields.js";
import { isMigration, isSwap, PTE_SPECIAL, swapOffset } from "../../process/entry.js";
import { deviceEntry, type DeviceEntry, type DeviceLayer } from "../device/layer.js";
import type { Kernel } from "../../process/kernel.js";
import type { EntryView } from "./entries.js";
import { fileName, type FileView } from "./file-view.js";
import type { FolioView, Holdings, MmView } from "./shape.js";

const NONE = 0 as Ref;

/** An entry or slot that names what is no folio. */
export interface Stray {
  readonly pfn: number;
  /** Descriptor that is named; 0 where a frame is. */
  readonly named: Ref;
  readonly who: string;
  readonly mm?: MmView;
  readonly entry?: EntryView;
}

export interface Tally {
  readonly strayEntries: readonly Stray[];
  readonly strayNames: readonly Stray[];
  /** Entries of devices that lead to no page in service, to no page at all (−1), or to no page of RAM. */
  readonly strayDevices: readonly Stray[];
  /** Page-table entries that name each swap slot. */
  readonly slotEntries: ReadonlyMap<number, number>;
  /** Holdings that name no folio. */
  readonly strayHolders: readonly Stray[];
}

type FolioAt = (pfn: number) => FolioView | undefined;

/** How folios are found: by frame, and by device-private page. */
interface Finds {
  readonly device: DeviceLayer | null;
  readonly folioAt: FolioAt;
  readonly privateAt: FolioAt;
}

/** Counts into `folios`. */
export function tally(
  kernel: Kernel,
  mms: readonly MmView[],
  files: readonly FileView[],
  folios: ReadonlyMap<Ref, FolioView>,
  finds: Finds,
  holdings: Holdings,
): Tally {
  const slotEntries = new Map<number, number>();
  const strayDevices: Stray[] = [];
  const strayEntries = mms.flatMap((mm) =>
    tallyEntries(kernel, mm, finds, slotEntries, strayDevices),
  );
  const strayNames = [...tallyFiles(files, folios), ...tallySwap(kernel, folios)];
  const strayHolders: Stray[] = [];
  for (const { pfn, refs, pins, who } of holdings.folios ?? []) {
    const folio = anyFolioAt(finds, pfn);
    if (folio === undefined) {
      if (isScattered(kernel, pfn) || isCountedBare(kernel, pfn)) continue;
      strayHolders.push({ pfn, named: NONE, who });
      continue;
    }
    folio.refs += refs;
    folio.pins += pins;
    folio.holders.push(who);
  }
  return { strayEntries, strayDevices, strayNames, slotEntries, strayHolders };
}

/** A folio by frame or device-private page: their numbers do not meet. */
function anyFolioAt({ device, folioAt, privateAt }: Finds, page: number): FolioView | undefined {
  const isPrivate = device !== null && page >= device.numbers.firstPrivate;
  return isPrivate ? privateAt(page) : folioAt(page);
}

/** Whether a page that is held belongs to scattered memory: its object is held, not a folio. */
function isScattered(kernel: Kernel, pfn: number): boolean {
  const { special, core } = kernel.base;
  if (special === null) return false;
  if (special.owns(pfn) || special.countsAsFolio(pfn)) return true;
  const vmalloc = core.design.typeOf(pfn) === T_MISC && core.design.subtypeOf(pfn) === MISC_VMALLOC;
  return special.carries && (vmalloc || core.design.overlay);
}

/** Struct page with its folio in it: a device's page that outlives its file is a bare one, counted as it was. */
function isCountedBare(kernel: Kernel, pfn: number): boolean {
  const { design, w } = kernel.base.core;
  if (!design.overlay || !countsBarePages(design) || design.typeOf(pfn) !== T_MISC) return false;
  return w.load32(design.wordsOf(pfn).ref, design.bareRefcount) > 0;
}

function tallyEntries(
  kernel: Kernel,
  mm: MmView,
  finds: Finds,
  slotEntries: Map<number, number>,
  strayDevices: Stray[],
): Stray[] {
  const { core } = kernel.base;
  const { device, folioAt } = finds;
  const stray: Stray[] = [];
  for (const entry of mm.entries) {
    const { lo, hi, pfn, huge } = entry;
    if (!entry.there) {
      const own = device === null ? null : deviceEntry(device, lo, hi);
      if (own !== null) {
        if (!tallyDevice(finds, own, mm, entry))
          strayDevices.push({ pfn: own.page, named: NONE, who: "", mm, entry });
      } else if (isSwap(lo, hi)) {
        const slot = swapOffset(lo, hi);
        slotEntries.set(slot, (slotEntries.get(slot) ?? 0) + 1);
      } else if (isMigration(lo, hi)) {
        const moving = folioAt(swapOffset(lo, hi));
        if (moving !== undefined) moving.migrating++;
      }
      continue;
    }
    if ((!huge && (lo & PTE_SPECIAL) !== 0) || (huge && core.isHugeZero(pfn))) continue;
    const folio = folioAt(pfn);
    if (folio === undefined) {
      // Scattered memory of today's kernel: counted as a folio, and none.
      if (kernel.base.special?.countsAsFolio(pfn) === true) continue;
      stray.push({ pfn, named: NONE, who: "", mm, entry });
      continue;
    }
    if (huge) folio.pmds++;
    else folio.ptes[pfn - folio.pfn]++;
    folio.mappings.push({ mm, entry, page: huge ? 0 : pfn - folio.pfn });
  }
  return stray;
}

/** An entry of a device: a mapping of its page, or one that waits for it. False where there is no such page. */
function tallyDevice(finds: Finds, own: DeviceEntry, mm: MmView, entry: EntryView): boolean {
  const folio = own.kind === "exclusive" ? finds.folioAt(own.page) : finds.privateAt(own.page);
  if (folio === undefined) return false;
  if (own.kind === "migration") {
    folio.migrating++;
    return true;
  }
  if (entry.huge) folio.pmds++;
  else folio.ptes[own.page - folio.pfn]++;
  folio.mappings.push({ mm, entry, page: entry.huge ? 0 : own.page - folio.pfn });
  return true;
}

function tallyFiles(files: readonly FileView[], folios: ReadonlyMap<Ref, FolioView>): Stray[] {
  const stray: Stray[] = [];
  for (const file of files) {
    for (const slot of file.slots) {
      const folio = folios.get(slot.folio);
      const who = `${fileName(file)} page ${slot.index}`;
      if (folio === undefined) {
        stray.push({ pfn: -1, named: slot.folio, who });
        continue;
      }
      folio.cached += slot.pages;
      folio.holders.push(who);
    }
  }
  return stray;
}

function tallySwap(kernel: Kernel, folios: ReadonlyMap<Ref, FolioView>): Stray[] {
  const { swap } = kernel.base;
  const stray: Stray[] = [];
  for (let slot = 0; slot < swap.slots; slot++) {
    const ref = swap.cached(slot);
    if (ref === NONE) continue;
    const folio = folios.get(ref);
    if (folio === undefined) {
      stray.push({ pfn: -1, named: ref, who: `swap slot ${slot}` });
      continue;
    }
    folio.slots++;
    folio.holders.push(`swap slot ${slot}`);
  }
  return stray;
}

/** Times that pages of the folio are mapped, each entry once. */
export const mapped = (folio: FolioView): number =>
  folio.ptes.reduce((sum, n) => sum + n, 0) + folio.pmds;

/** References that mappings, caches and holders explain. */
export function explained(kernel: Kernel, folio: FolioView): number {
  const { folio: layout } = kernel.machine.design;
  const counted = (folio.order > 0 ? layout.pincount : layout.smallPincount) >= 0;
  const pins = folio.pins * (counted ? 1 : PIN_BIAS);
  return mapped(folio) + folio.cached + folio.slots + folio.refs + pins;
}
