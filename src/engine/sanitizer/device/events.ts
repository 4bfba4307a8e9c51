/**
 * Rules of device memory that can be seen only while something happens: an idle page that
 * somebody touches where pages are requested, a page map that lets go of a page before its
 * driver has it back.
 *
 * Events are written down, not thrown; the next inspection reports them.
 */
import type { DeviceWatch } from "../../device/device-watch.js";
import { IDLE_PAGES_ARE_NOT_TOUCHED } from "../../device/idle-words.js";
import { KernelViolation } from "../process/rule.js";
import { nameOf } from "./service.js";
import type { DeviceLayer } from "./layer.js";

export { IDLE_PAGES_ARE_NOT_TOUCHED };
export const FREED_BEFORE_PUT = "the driver has a page back before its map lets go";

/** More of them than this are not kept: the first ones tell. */
const MOST = 100;

export class DeviceEvents implements DeviceWatch {
  readonly #layer: DeviceLayer;
  #found: KernelViolation[] = [];

  constructor(layer: DeviceLayer) {
    this.#layer = layer;
  }

  /** Violations since the last call. */
  take(): KernelViolation[] {
    const found = this.#found;
    this.#found = [];
    return found;
  }

  #report(rule: string, page: number, detail: string, who: string): void {
    if (this.#found.length >= MOST) return;
    this.#found.push(new KernelViolation(rule, page, detail, who, this.#layer.base.core.step));
  }

  touched(page: number, what: string): void {
    const map = [...this.#layer.pagemaps.maps.values()].find((m) => m.offsetOf(page) >= 0);
    const where =
      map === undefined ? "no page map" : `${nameOf(map)}, offset ${map.offsetOf(page)}`;
    this.#report(
      IDLE_PAGES_ARE_NOT_TOUCHED,
      page,
      `${what} of a page that nobody requested`,
      where,
    );
  }

  givenBack(map: string, page: number, before: number, now: number): void {
    if (now >= before) return;
    const detail = `the map had ${before} references and has ${now} once its driver was told`;
    this.#report(FREED_BEFORE_PUT, page, detail, `page map ${map}`);
  }
}
