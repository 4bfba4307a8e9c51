/**
 * none: frames are mapped by number and nobody counts. The driver must outlive
 * every mapping; GUP is refused, as on any PFN mapping.
 *
 * Proposal 2 of the mail of 2024-12-06: "risky: driver mistakes become
 * use-after-free holes".
 */
import type { ScatteredObject } from "./axis.js";

export const NO_OBJECT: ScatteredObject = {
  name: "none",
  holds: "nothing",
  standsAlone: true,
  mapcounts: false,
  init: () => {},
  tryGet: () => false,
  put: () => -1,
  count: () => -1,
};
