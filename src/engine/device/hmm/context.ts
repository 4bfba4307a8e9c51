/**
 * What HMM needs of the device layer: the parts of `Devices` by name, so that the
 * front door can have HMM without a circle of imports.
 */
import type { DeviceNaming } from "../../design/device-name/axis.js";
import type { Design } from "../../design/presets.js";
import type { Base } from "../../process/base.js";
import type { Operations } from "../../process/operations.js";
import type { Numbers } from "../numbers.js";
import type { Pagemaps } from "../pagemaps.js";
import type { ZoneDevice } from "../zone-device.js";

export interface HmmContext {
  readonly kernel: Operations;
  readonly base: Base;
  readonly choice: Design;
  readonly naming: DeviceNaming;
  readonly numbers: Numbers;
  readonly pagemaps: Pagemaps;
  readonly zoneDevice: ZoneDevice;
  /** First device-private page: every frame's number is below it. */
  readonly firstPrivate: number;
}
