/**
 * Rules of what describes device memory: frames are there for what the lifetime needs and
 * for nothing else, and every object of the records is some folio's.
 *
 * What must be there is counted anew from the page maps and the folios in service: all rows
 * of a static map, whole chunks of one whose chunks come when they are touched, the rows of
 * folios in service where records come with a request; and a row for each device space.
 */
import { DEVICE_SPACE_SIZE } from "../../layout/generated/offsets.js";
import { MISC_VMALLOC, T_MISC } from "../../design/word/axis-types.js";
import type { DevPagemap } from "../../device/pagemap.js";
import { CHUNK_PAGES } from "../../device/record-rows.js";
import { S_DEVICE_NAME } from "../../process/core.js";
import { O_DEVICE_FOLIO, O_DEVICE_FOLIO_LARGE } from "../../process/objects.js";
import type { Ref } from "../../../units.js";
import type { KernelReport, KernelRule } from "../process/rule.js";
import type { ProcessView } from "../process/view.js";
import type { DeviceLayer } from "./layer.js";

const AREA = "the records of devices";

/** Users that every arena page of the area must have. */
class Users {
  readonly must = new Map<number, number>();
  readonly #device: DeviceLayer;

  constructor(device: DeviceLayer) {
    this.#device = device;
  }

  bytes(ref: Ref, off: number, bytes: number): void {
    const { area } = this.#device.zoneDevice;
    const last = area.pageOf(ref, off + bytes - 1);
    for (let page = area.pageOf(ref, off); page <= last; page++)
      this.must.set(page, (this.must.get(page) ?? 0) + 1);
  }

  rows(page: number, pages: number): void {
    const { record } = this.#device.zoneDevice.of(page);
    this.bytes(record.rowRef(page), record.rowOff(page), pages * record.bytesPerPage);
  }

  map(map: DevPagemap): void {
    const { zoneDevice } = this.#device;
    const { deviceLifetime } = zoneDevice.choice;
    if (deviceLifetime === "request") {
      zoneDevice.forEachFolio(map, (page, order) => this.rows(page, 2 ** order));
      return;
    }
    for (const { start, pages } of map.ranges) {
      if (deviceLifetime === "static") {
        this.rows(start, pages);
        continue;
      }
      for (let at = start; at < start + pages; at += CHUNK_PAGES) {
        const { record } = zoneDevice.of(at);
        const there = zoneDevice.area.isThere(record.rowRef(at), record.rowOff(at));
        if (there) this.rows(at, Math.min(CHUNK_PAGES, start + pages - at));
      }
    }
  }

  /** Rows of the table of device spaces. */
  spaces(): void {
    const { base, numbers } = this.#device;
    if (numbers.naming.name !== "tuple") return;
    const used = base.w.load32((base.core.state + S_DEVICE_NAME / 16) as Ref, 0);
    for (let space = 0; space < used; space++)
      this.bytes(base.core.machine.deviceSpaces, space * DEVICE_SPACE_SIZE, DEVICE_SPACE_SIZE);
  }
}

export const RECORDS_ARE_WHAT_IS_NEEDED: KernelRule = {
  name: "records are what is needed",
  says: "the frames behind the records of devices are those that page maps need by their lifetime, each used as often as it is needed, and each is one of vmalloc's pages",
  watch({ device, core }, report: KernelReport) {
    if (device === null) return;
    const users = new Users(device);
    for (const map of device.pagemaps.maps.values()) users.map(map);
    users.spaces();
    const { area } = device.zoneDevice;
    const frames = new Set<number>();
    area.forEachFrame((pfn, page, n) => {
      const must = users.must.get(page) ?? 0;
      if (n !== must) report(pfn, `page ${page} of it has ${n} users, ${must} are needed`, AREA);
      if (frames.has(pfn)) report(pfn, "it is behind two pages", AREA);
      frames.add(pfn);
      users.must.delete(page);
      const { design } = core;
      if (
        design.typeOf(pfn) !== T_MISC ||
        (!design.overlay && design.subtypeOf(pfn) !== MISC_VMALLOC)
      )
        report(pfn, `its type is ${design.typeOf(pfn)}`, AREA);
    });
    for (const [page, n] of users.must)
      report(-1, `page ${page} of it is not there, ${n} need it`, AREA);
    if (frames.size !== area.frames)
      report(-1, `${area.frames} frames are counted, ${frames.size} are there`, AREA);
  },
};

/** Objects of a kind in use that no folio in service is. */
function others(view: ProcessView, kind: number, large: boolean, report: KernelReport): void {
  const isFolio = view.device?.zoneDevice.privates.record.name === "folio";
  for (const object of view.objects[kind]) {
    const folio = isFolio ? view.privates.get(object) : undefined;
    if (folio === undefined) report(-1, `device folio ${object} is in use and no page's`, "nobody");
    else if (folio.order > 0 !== large)
      report(
        folio.pfn,
        `a folio of order ${folio.order} has an object of the other size`,
        "nobody",
      );
  }
}

export const DEVICE_FOLIOS_ARE_OBJECTS: KernelRule = {
  name: "device folios are objects",
  says: "where device memory has folios and no pages, every folio in service is an object in use of the cache for its size, and every object in use is one",
  watch(view, report) {
    if (view.device === null) return;
    others(view, O_DEVICE_FOLIO, false, report);
    others(view, O_DEVICE_FOLIO_LARGE, true, report);
    if (view.device.zoneDevice.privates.record.name !== "folio") return;
    for (const folio of view.privates.values()) {
      const kind = folio.order > 0 ? O_DEVICE_FOLIO_LARGE : O_DEVICE_FOLIO;
      if (!view.isObject(kind, folio.ref))
        report(folio.pfn, `its descriptor ${folio.ref} is no object in use`, "nobody");
    }
  },
};
