/**
 * Forms of the request that were superseded, kept as counter-examples.
 *
 * `pgmap_request_folios` takes the folio that it is asked for, so whoever calls it has
 * looked at an idle page already, and it looks at more of them itself: with records that
 * come and go there is nothing to give it. `pfn_to_pgmap_offset` goes from a pfn to an
 * offset, "not for new code": where device-private memory has no pfns it cannot be called.
 *
 * Source: "fsdax: Introduce pgmap_request_folios()" of October 2022 (device-facts §1.2,
 * with the bug of its release loop), "mm/memremap: Introduce pgmap_request_folio() using
 * pgmap offsets" (§1.3).
 */
import type { PhysicalNaming } from "../design/device-name/axis.js";
import { DEV_PAGEMAP_IN_SERVICE } from "../layout/generated/offsets.js";
import { ERRNO, MmError } from "../errors.js";
import type { Pfn } from "../../units.js";
import type { DevPagemap } from "./pagemap.js";
import type { ZoneDevice } from "./zone-device.js";

/** Throws MmError (EOPNOTSUPP) where an idle page is nothing that could be handed in. */
function refuseWithoutPages(zoneDevice: ZoneDevice, page: number): void {
  const { record } = zoneDevice.of(page);
  if (
    record.leavesTraces &&
    record.name === "page" &&
    zoneDevice.choice.deviceLifetime === "static"
  )
    return;
  throw new MmError(
    ERRNO.EOPNOTSUPP,
    `request folios from page ${page} on by their struct pages`,
    "an idle page has no folio",
  );
}

/**
 * pgmap_request_folios: `n` folios of one order, one behind another, from that of
 * `page` on, get a reference each; one that had none takes a reference of the map. False
 * for a map that is dying, another one, or folios of different orders. That a folio is in
 * service already is no error.
 */
export function pgmapRequestFolios(
  devices: { readonly zoneDevice: ZoneDevice },
  map: DevPagemap,
  page: number,
  n: number,
): boolean {
  const { zoneDevice } = devices;
  refuseWithoutPages(zoneDevice, page);
  const { record, folios } = zoneDevice.of(page);
  zoneDevice.look(page, "pgmap_request_folios");
  const order = record.orderOf(page);
  const last = page + (n - 1) * 2 ** order;
  if (map.offsetOf(page) < 0 || map.offsetOf(last) < 0 || map.isDying) return false;
  for (let at = page; at <= last; at += 2 ** order) {
    zoneDevice.look(at, "pgmap_request_folios");
    if (record.orderOf(at) !== order) return false;
  }
  const { w } = zoneDevice.base;
  for (let at = page; at <= last; at += 2 ** order) {
    const folio = record.folioOf(at);
    if (w.add32(folio, folios.layout.refcount, 1) > 1) continue;
    record.setPgmap(folio, map.words);
    map.tryGet(1);
    w.add32(map.words, DEV_PAGEMAP_IN_SERVICE, 2 ** order);
  }
  return true;
}

/**
 * pgmap_release_folios: puts each of them. As it was posted the loop goes on from the
 * first folio every time, so that from the third on the second is put again.
 */
export function pgmapReleaseFolios(
  devices: { readonly zoneDevice: ZoneDevice },
  page: number,
  n: number,
  asPosted = true,
): void {
  const { zoneDevice } = devices;
  refuseWithoutPages(zoneDevice, page);
  const { record, folios } = zoneDevice.of(page);
  const order = record.orderOf(page);
  let at = page;
  for (let i = 0; i < n; i++) {
    folios.put(record.folioOf(at));
    // folio_next(folio), where folio_next(iter) was meant.
    at = (asPosted ? page : at) + 2 ** order;
  }
}

/**
 * pfn_to_pgmap_offset, of device-private memory: −1 where the pfn is in no range. Only
 * where it has pfns is there one to ask for.
 */
export function pfnToPgmapOffset(naming: PhysicalNaming, map: DevPagemap, pfn: Pfn): number {
  const page = naming.pageOf(pfn);
  return page < 0 ? -1 : map.offsetOf(page);
}
