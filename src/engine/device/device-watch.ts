/**
 * What is heard of device memory while somebody watches it; null in fast runs, one
 * comparison for each event.
 *
 * States are looked at by rules (sanitizer/device); these are for what can only be seen
 * when it happens.
 */

export interface DeviceWatch {
  /**
   * Where pages are requested: somebody looked at, or wrote to, a page of a device that
   * is idle. `what` says how.
   */
  touched(page: number, what: string): void;
  /**
   * The driver has a folio back, and took no other page into or out of service with it.
   * References that the page map had before it was told, and has now: the same, for the
   * map lets go after that.
   */
  givenBack(map: string, page: number, before: number, now: number): void;
}
