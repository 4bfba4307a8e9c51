/**
 * Folios of device-private memory: the same fields as everywhere, at the places
 * that the design's record gives them.
 *
 * None is ever on an LRU list or pinned. The last reference hands the folio back
 * to its page map.
 */
import type { DeviceRecord } from "../design/device-record/axis.js";
import type { Ref } from "../../units.js";
import type { Core } from "../process/core.js";
import { FolioFields } from "../process/folio-fields.js";

export class DeviceFolios extends FolioFields {
  readonly record: DeviceRecord;
  /** free_zone_device_folio */
  onFree: (folio: Ref, page: number) => void = () => {};
  /** Times that pages of a folio are mapped, for who watches. */
  mappings: (folio: Ref, page: number) => number = () => 0;

  constructor(core: Core, record: DeviceRecord) {
    super(core, record.layout);
    this.record = record;
  }

  override pageOf(folio: Ref): number {
    return this.record.pageOf(folio);
  }

  protected override free(folio: Ref): void {
    const page = this.record.pageOf(folio);
    this.core.watch?.freeingPrivate(page, this.mappings(folio, page));
    this.onFree(folio, page);
  }
}
