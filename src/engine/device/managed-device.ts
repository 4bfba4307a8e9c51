/**
 * Page maps that belong to a device: made with it, taken away with it.
 *
 * struct device has a list of what is to be done when its driver lets go of it (devres),
 * and does it in reverse order, so that what was built on something goes before it. A
 * page map made through here is one of these. Each takes a small object; where there is
 * no memory for it, what was just made is undone again (…_or_reset).
 *
 * Source: drivers/base/devres.c (devm_add_action_or_reset, devm_release_action,
 * devres_release_all), mm/memremap.c (devm_memremap_pages, devm_memunmap_pages) of the
 * mm tree of July 2026; devm_memremap_device_private_pagemap and its counterpart of the
 * series' v6 (device-facts §2.4).
 */
import type { Ref } from "../../units.js";
import { O_KMALLOC } from "../process/objects.js";
import { EINVAL, ENOENT, ENOMEM } from "./kinds.js";
import type { DevPagemap, PagemapConfig } from "./pagemap.js";
import type { Pagemaps } from "./pagemaps.js";

const NONE = 0 as Ref;

interface Action {
  /** struct devres, and what the action needs: 56 bytes. */
  readonly words: Ref;
  /** What it is about. */
  readonly data: object;
  readonly run: () => void;
}

export class ManagedDevice {
  readonly name: string;
  /** dev_to_node; −1 for none. */
  readonly nid: number;
  readonly #pagemaps: Pagemaps;
  readonly #actions: Action[] = [];

  constructor(devices: { readonly pagemaps: Pagemaps }, name: string, nid = -1) {
    this.#pagemaps = devices.pagemaps;
    this.name = name;
    this.nid = nid;
  }

  /** Actions that are still to be done. */
  get actions(): number {
    return this.#actions.length;
  }

  /** devm_add_action: 0 or −ENOMEM. */
  addAction(data: object, run: () => void): number {
    const words = this.#pagemaps.device.base.core.newObject(O_KMALLOC);
    if (words === NONE) return ENOMEM;
    this.#actions.push({ words, data, run });
    return 0;
  }

  /** devm_add_action_or_reset: where it cannot be added it is done at once. */
  addActionOrReset(data: object, run: () => void): number {
    const error = this.addAction(data, run);
    if (error !== 0) run();
    return error;
  }

  /** devm_release_action: does it now, and not at the end; −ENOENT (and a warning) where there is none. */
  releaseAction(data: object): number {
    const at = this.#actions.findLastIndex((a) => a.data === data);
    if (at < 0) {
      this.#pagemaps.device.warn(`${this.name}: an action is released that it does not have`);
      return ENOENT;
    }
    const [action] = this.#actions.splice(at, 1);
    this.#pagemaps.device.base.core.freeObject(O_KMALLOC, action.words);
    action.run();
    return 0;
  }

  /** devm_memremap_pages: the map, of the device's node, or a negative errno with nothing left. */
  memremapPages(config: PagemapConfig): DevPagemap | number {
    const { nid } = this;
    return this.#manage(this.#pagemaps.memremapPages({ ...config, nid }));
  }

  /** devm_memremap_device_private_pagemap */
  memremapDevicePrivatePagemap(config: PagemapConfig): DevPagemap | number {
    const { nid } = this;
    return this.#manage(this.#pagemaps.memremapDevicePrivatePagemap({ ...config, nid }));
  }

  /** Whichever of both the design's private memory is made with; any other type's. */
  mapPages(config: PagemapConfig): DevPagemap | number {
    const { nid } = this;
    return this.#manage(this.#pagemaps.create({ ...config, nid }));
  }

  #manage(map: DevPagemap | number): DevPagemap | number {
    if (typeof map === "number") return map;
    const error = this.addActionOrReset(map, () => void this.#pagemaps.unmap(map));
    return error === 0 ? map : error;
  }

  /** devm_memunmap_pages; −EINVAL where the old entry point no longer takes it. */
  memunmapPages(map: DevPagemap): number {
    if (this.#pagemaps.isInDeviceSpace(map)) {
      this.#pagemaps.device.warn(`${map.name}: devm_memunmap_pages is not for it`);
      return EINVAL;
    }
    return this.releaseAction(map);
  }

  /** devm_memunmap_device_private_pagemap */
  memunmapDevicePrivatePagemap(map: DevPagemap): number {
    if (!this.#pagemaps.isInDeviceSpace(map)) {
      this.#pagemaps.device.warn(`${map.name}: it is not in the device address space`);
      return EINVAL;
    }
    return this.releaseAction(map);
  }

  /** devres_release_all: the driver lets go; the last that was added is done first. */
  detach(): void {
    for (let last = this.#actions.at(-1); last !== undefined; last = this.#actions.at(-1))
      this.releaseAction(last.data);
  }
}
