/**
 * The ultravisor as far as memory goes: it has the pages of a guest brought in as
 * they are needed, and where secure memory is full the one that came first sent out
 * before.
 *
 * Source: H_SVM_PAGE_IN and H_SVM_PAGE_OUT of Documentation/arch/powerpc/ultravisor.rst.
 * Invented: the order in which pages go out; the firmware's is not published.
 */
import { ENOMEM } from "../../device/driver-api.js";
import { GFN_PAGED_OUT, GFN_SECURE, type SecureGuest } from "./secure-guest.js";

export class Ultravisor {
  readonly guest: SecureGuest;
  /** Frames in the order in which they came in. */
  readonly #order: number[] = [];
  /** Pages sent out to make room. */
  pagedOut = 0;

  constructor(guest: SecureGuest) {
    this.guest = guest;
  }

  /** UV_PAGE_IN: the frame is secure afterwards. 0 or a negative errno. */
  bring(gfn: number): number {
    if (this.guest.state(gfn) === GFN_SECURE) return 0;
    for (;;) {
      const error = this.guest.pageIn(gfn);
      if (error === 0) this.#order.push(gfn);
      if (error !== ENOMEM) return error;
      const oldest = this.#order.shift();
      if (oldest === undefined) return ENOMEM;
      if (this.guest.state(oldest) !== GFN_SECURE) continue;
      const out = this.guest.pageOut(oldest);
      if (out !== 0) return out;
      this.pagedOut++;
    }
  }

  /** UV_ESM: every page of the frames becomes secure, and the guest with them. */
  enterSecureMode(gfn: number, pages: number): number {
    let error = this.guest.svmInitStart();
    for (let i = 0; error === 0 && i < pages; i++) error = this.bring(gfn + i);
    return error === 0 ? this.guest.svmInitDone() : error;
  }

  read(gfn: number, at: number, out: Uint8Array): number {
    return this.#there(gfn) ?? this.guest.read(gfn, at, out);
  }

  write(gfn: number, at: number, bytes: Uint8Array): number {
    return this.#there(gfn) ?? this.guest.write(gfn, at, bytes);
  }

  /** A frame that is paged out comes in first; what goes wrong then. */
  #there(gfn: number): number | undefined {
    if (this.guest.state(gfn) !== GFN_PAGED_OUT) return undefined;
    const error = this.bring(gfn);
    return error === 0 ? undefined : error;
  }
}
