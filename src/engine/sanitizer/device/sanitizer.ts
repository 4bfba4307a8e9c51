/**
 * The rules of device memory, and checking it by them: the front door of this folder.
 *
 * They are looked at with the rules of the kernel (`inspectKernel`), which also know folios
 * and entries of devices; `inspectDevices` looks at these alone. `watchDevices` switches on
 * what can only be seen when it happens.
 */
import type { RuleViolation } from "../../errors.js";
import type { Kernel } from "../../process/kernel.js";
import { kernelViolationsOf, type KernelRule } from "../process/rule.js";
import type { Holdings } from "../process/shape.js";
import { processView, type ProcessView } from "../process/view.js";
import {
  DEVICE_FOLIOS_NAME_LIVE_OBJECTS,
  DEVICE_MAP_COUNTS_MATCH,
  DEVICE_REFERENCES_ARE_EXPLAINED,
  EXCLUSIVE_DEVICE_PAGES_ARE,
  SHARED_DEVICE_FOLIOS_SAY_SO,
} from "./counts.js";
import { DeviceEvents } from "./events.js";
import type { DeviceLayer } from "./layer.js";
import { MIRRORS_SHOW_WHAT_IS_MAPPED } from "./mirrors.js";
import {
  ARRAYS_SAY_THEIR_KIND,
  NUMBER_TABLES_AGREE,
  NUMBERS_LEAD_TO_THEIR_PAGE,
  RANGE_TREE_IS_IN_ORDER,
} from "./numbers.js";
import { DEVICE_FOLIOS_ARE_OBJECTS, RECORDS_ARE_WHAT_IS_NEEDED } from "./records.js";
import {
  DEVICE_ENTRIES_RESOLVE,
  ENTRIES_SAY_THEIR_KIND,
  MAP_REFERENCES_ADD_UP,
  MOVING_PAGES_ARE_LOCKED,
  NOTHING_OF_A_DEVICE_IS_LEFT_MOVING,
  PAGE_MAPS_ARE_WHOLE,
  PAGES_IN_SERVICE_ARE_THEIR_MAPS,
} from "./service.js";

/** Rules of states, those first on which others rest. */
export const DEVICE_RULES: readonly KernelRule[] = [
  PAGE_MAPS_ARE_WHOLE,
  NUMBER_TABLES_AGREE,
  RANGE_TREE_IS_IN_ORDER,
  NUMBERS_LEAD_TO_THEIR_PAGE,
  RECORDS_ARE_WHAT_IS_NEEDED,
  DEVICE_FOLIOS_ARE_OBJECTS,
  PAGES_IN_SERVICE_ARE_THEIR_MAPS,
  MAP_REFERENCES_ADD_UP,
  DEVICE_ENTRIES_RESOLVE,
  ENTRIES_SAY_THEIR_KIND,
  MOVING_PAGES_ARE_LOCKED,
  NOTHING_OF_A_DEVICE_IS_LEFT_MOVING,
  DEVICE_REFERENCES_ARE_EXPLAINED,
  DEVICE_MAP_COUNTS_MATCH,
  SHARED_DEVICE_FOLIOS_SAY_SO,
  EXCLUSIVE_DEVICE_PAGES_ARE,
  DEVICE_FOLIOS_NAME_LIVE_OBJECTS,
  ARRAYS_SAY_THEIR_KIND,
  MIRRORS_SHOW_WHAT_IS_MAPPED,
];

/** Switches events of device memory on. */
export function watchDevices(layer: DeviceLayer): DeviceEvents {
  const events = new DeviceEvents(layer);
  layer.zoneDevice.watch = events;
  return events;
}

/** Every violation of the rules of devices, events since the last call first. */
export function deviceViolations(view: ProcessView): RuleViolation[] {
  if (view.device === null) return [];
  const { watch } = view.device.zoneDevice;
  const events = watch instanceof DeviceEvents ? watch.take() : [];
  return [...events, ...DEVICE_RULES.flatMap((rule) => kernelViolationsOf(rule, view))];
}

/** The same of a kernel's device memory; `holdings` says what somebody outside holds. */
export function inspectDevices(
  devices: { readonly kernel: Kernel },
  holdings: Holdings = {},
): RuleViolation[] {
  return deviceViolations(processView(devices.kernel, holdings));
}
