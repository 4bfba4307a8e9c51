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
   * The driver has a folio back. Its page map must not have been let go before: what it
   * holds now, what it must hold at least, and its name.
   */
  givenBack(map: string, page: number, refs: number, least: number): void;
}
