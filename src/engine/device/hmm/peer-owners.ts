/**
 * Owners of device memory, found from who reaches whom: devices get the same owner
 * where every two of them have a fast interconnect, so that each can use the others'
 * private pages as they are. An owner says reachability and nothing else.
 *
 * A device that comes joins the first owner all of whose devices it reaches, and
 * founds one of its own where there is none; so who comes first decides between
 * groups that overlap. An owner is for good once pages are given out under it.
 *
 * Source: drivers/gpu/drm/drm_pagemap_util.c of 2026 (drm_pagemap_acquire_owner);
 * device-facts §3.4 (Hellström, Gunthorpe).
 */

/** Devices that share an owner. The object itself is the owner. */
export interface PeerOwner {
  readonly name: string;
}

export class PeerOwners<Device extends object> {
  readonly #reaches: (a: Device, b: Device) => boolean;
  readonly #groups: { readonly owner: PeerOwner; readonly devices: Set<Device> }[] = [];
  #named = 0;

  /** `reaches` says whether two devices have a fast interconnect; it is asked in both directions. */
  constructor(reaches: (a: Device, b: Device) => boolean) {
    this.#reaches = reaches;
  }

  /** The owner for a device, the same each time until it is released. */
  acquire(device: Device): PeerOwner {
    const known = this.#groups.find((group) => group.devices.has(device));
    if (known !== undefined) return known.owner;
    const fits = this.#groups.find((group) =>
      [...group.devices].every((d) => this.#reaches(device, d) && this.#reaches(d, device)),
    );
    if (fits !== undefined) {
      fits.devices.add(device);
      return fits.owner;
    }
    const owner = { name: `peers ${++this.#named}` };
    this.#groups.push({ owner, devices: new Set([device]) });
    return owner;
  }

  /** The device goes; the last one takes the owner with it. */
  release(device: Device): void {
    const at = this.#groups.findIndex((group) => group.devices.delete(device));
    if (at >= 0 && this.#groups[at].devices.size === 0) this.#groups.splice(at, 1);
  }
}
