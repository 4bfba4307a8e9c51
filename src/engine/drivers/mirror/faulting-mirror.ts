/**
 * What the loops of a mirror ask of the mirror itself: its process, its table, its
 * lock.
 */
import type { Ref } from "../../../units.js";
import type { Devices } from "../../device/devices.js";
import type { MirrorTable } from "./mirror-table.js";

export interface FaultingMirror {
  readonly devices: Devices;
  readonly device: object;
  readonly mm: Ref;
  readonly table: MirrorTable;
  lock(): void;
  unlock(): void;
  between(): void;
}
