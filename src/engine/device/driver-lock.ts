/**
 * A driver's own lock: a word, so that threads that interleave wait for it.
 *
 * Who mirrors a process takes it in the callback of its notifier and around every
 * use of what it learnt from hmm_range_fault: between the two nothing else keeps
 * the device from using what the process has no longer.
 */
import { ERRNO, MmError } from "../errors.js";
import type { Ref } from "../../units.js";
import type { Core } from "../process/core.js";
import { spinLock, spinUnlock } from "../process/locks.js";
import { O_KMALLOC } from "../process/objects.js";

export class DriverLock {
  readonly #core: Core;
  readonly #words: Ref;

  /** A lock that nobody has; takes `Devices`. Throws MmError (ENOMEM). */
  constructor(devices: { readonly base: { readonly core: Core } }) {
    this.#core = devices.base.core;
    this.#words = this.#core.newObject(O_KMALLOC);
    if (this.#words === 0) throw new MmError(ERRNO.ENOMEM, "make a driver's lock", "no memory");
  }

  lock(): void {
    spinLock(this.#core.w, this.#words, 0);
  }

  /** For who may not sleep: false where somebody has it. */
  tryLock(): boolean {
    return this.#core.w.cas32(this.#words, 0, 0, 1);
  }

  unlock(): void {
    spinUnlock(this.#core.w, this.#words, 0);
  }

  /** Gives its word back. */
  free(): void {
    this.#core.freeObject(O_KMALLOC, this.#words);
  }
}
