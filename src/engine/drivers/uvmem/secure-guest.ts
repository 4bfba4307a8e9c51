/**
 * A guest that becomes secure: its memory slots, what each of its frames is, and
 * the calls by which the ultravisor has pages moved.
 *
 * A frame is normal (the hypervisor's page), secure (a page of secure memory),
 * paged out (encrypted in the hypervisor's page), or shared (both see it). Secure
 * frames remember their page; all others are wherever the process maps them.
 *
 * Source: arch/powerpc/kvm/book3s_hv_uvmem.c (kvmppc_h_svm_init_start, _done, _abort,
 * kvmppc_h_svm_page_in, kvmppc_h_svm_page_out, kvmppc_share_page,
 * kvmppc_uvmem_drop_pages, the table of states at its top). Simplified: the
 * hypervisor answers H_PARAMETER for every reason, here it is an errno; KSM is not
 * switched off for the slots; the ultravisor's own page tables are not kept.
 */
import {
  EEXIST,
  EFAULT,
  EINVAL,
  PAGE_SIZE,
  type Process,
  type Ref,
} from "../../device/driver-api.js";
import type { Uvmem, UvmemOwner, UvmemPvt } from "./uvmem.js";

/** No flag: the hypervisor's own. */
export const GFN_NORMAL = 0;
/** KVMPPC_GFN_UVMEM_PFN */
export const GFN_SECURE = 1;
/** KVMPPC_GFN_MEM_PFN */
export const GFN_PAGED_OUT = 2;
/** KVMPPC_GFN_SHARED */
export const GFN_SHARED = 3;

/** struct kvmppc_uvmem_slot */
interface Slot {
  readonly baseGfn: number;
  readonly pages: number;
  /** Page of the process at which it begins. */
  readonly vpn: number;
  readonly states: Uint8Array;
  /** Secure page of each frame that is secure. */
  readonly secure: Int32Array;
}

export class SecureGuest implements UvmemOwner {
  readonly uvmem: Uvmem;
  readonly mm: Ref;
  readonly #process: Process;
  readonly #slots: Slot[] = [];
  /** kvm->arch.secure_guest */
  #stage: "normal" | "starting" | "secure" = "normal";

  /** A guest whose memory is that of a process. */
  constructor(uvmem: Uvmem, process: Process) {
    this.uvmem = uvmem;
    this.#process = process;
    this.mm = process.mm;
  }

  get stage(): string {
    return this.#stage;
  }

  /** Memory of the process as guest frames. 0, or −EEXIST where such frames are. */
  addSlot(baseGfn: number, addr: number, pages: number): number {
    if (this.#slots.some((s) => baseGfn < s.baseGfn + s.pages && s.baseGfn < baseGfn + pages))
      return EEXIST;
    const vpn = addr / PAGE_SIZE;
    const arrays = { states: new Uint8Array(pages), secure: new Int32Array(pages) };
    this.#slots.push({ baseGfn, pages, vpn, ...arrays });
    return 0;
  }

  #slotOf(gfn: number): Slot | undefined {
    return this.#slots.find((s) => gfn >= s.baseGfn && gfn < s.baseGfn + s.pages);
  }

  #mark(gfn: number, state: number, page = 0): void {
    const slot = this.#slotOf(gfn);
    if (slot === undefined) return;
    slot.states[gfn - slot.baseGfn] = state;
    slot.secure[gfn - slot.baseGfn] = page;
  }

  /** GFN_… */
  state(gfn: number): number {
    const slot = this.#slotOf(gfn);
    return slot === undefined ? GFN_NORMAL : slot.states[gfn - slot.baseGfn];
  }

  pageFreed({ gfn, removeGfn }: UvmemPvt): void {
    this.#mark(gfn, removeGfn ? GFN_NORMAL : GFN_PAGED_OUT);
  }

  /** H_SVM_INIT_START */
  svmInitStart(): number {
    if (this.#stage !== "normal") return EINVAL;
    this.#stage = "starting";
    return 0;
  }

  /** H_SVM_INIT_DONE: what was not asked for becomes secure without its contents. */
  svmInitDone(): number {
    if (this.#stage !== "starting") return EINVAL;
    for (const { baseGfn, pages, states } of this.#slots)
      for (let i = 0; i < pages; i++) {
        const error = states[i] === GFN_NORMAL ? this.#pageIn(baseGfn + i, false) : 0;
        if (error !== 0) return error;
      }
    this.#stage = "secure";
    return 0;
  }

  /** H_SVM_INIT_ABORT: an ordinary guest again, with its contents. Pages that stay secure. */
  svmInitAbort(): number {
    return this.#stage === "starting" ? this.#end(false) : EINVAL;
  }

  /** KVM_PPC_SVM_OFF, or the guest ends: nobody wants the contents. Pages that stay secure. */
  svmOff(): number {
    return this.#end(true);
  }

  #end(skipPageOut: boolean): number {
    let left = 0;
    for (const slot of this.#slots) left += this.dropPages(slot.baseGfn, skipPageOut);
    if (left === 0) this.#stage = "normal";
    return left;
  }

  /** H_SVM_PAGE_IN: one page of the guest becomes secure, or shared. 0 or a negative errno. */
  pageIn(gfn: number, shared = false): number {
    if (this.#stage === "normal") return EINVAL;
    return shared ? this.#share(gfn) : this.#pageIn(gfn, true);
  }

  #pageIn(gfn: number, copy: boolean): number {
    const slot = this.#slotOf(gfn);
    // Also of a page that is in already.
    if (slot === undefined || this.state(gfn) === GFN_SECURE) return EINVAL;
    const was = this.state(gfn);
    const { devices } = this.uvmem;
    devices.mmapReadLock(this.mm);
    const page = this.uvmem.pageIn(this, gfn, slot.vpn + gfn - slot.baseGfn, copy);
    devices.mmapReadUnlock(this.mm);
    if (page < 0) this.#mark(gfn, was);
    else this.#mark(gfn, GFN_SECURE, page);
    return page < 0 ? page : 0;
  }

  /** H_SVM_PAGE_OUT: it is the hypervisor's to keep, encrypted. 0, also where it is not secure. */
  pageOut(gfn: number): number {
    const slot = this.#slotOf(gfn);
    if (slot === undefined || this.#stage === "normal") return EINVAL;
    if (this.state(gfn) !== GFN_SECURE) return 0;
    return this.#pageOut(slot.vpn + gfn - slot.baseGfn);
  }

  #pageOut(vpn: number): number {
    const { devices } = this.uvmem;
    devices.mmapReadLock(this.mm);
    const error = this.uvmem.pageOut(devices.vmaLookup(this.mm, vpn), vpn);
    devices.mmapReadUnlock(this.mm);
    return error;
  }

  /** kvmppc_share_page: both see it from now on; a secure page's contents are not given away. */
  #share(gfn: number): number {
    const slot = this.#slotOf(gfn);
    if (slot === undefined) return EINVAL;
    const i = gfn - slot.baseGfn;
    if (slot.states[i] === GFN_SECURE) {
      const pvt = this.uvmem.pvtOf(slot.secure[i]);
      pvt.skipPageOut = true;
      // Only shared, not gone.
      pvt.removeGfn = false;
    }
    // gfn_to_pfn: the fault brings the secure page back, as an empty one.
    const error = this.uvmem.devices.fixupUserFault(this.mm, slot.vpn + i, true);
    if (error !== 0) return error;
    this.#mark(gfn, GFN_SHARED);
    return 0;
  }

  /**
   * kvmppc_uvmem_drop_pages: a slot goes, or the guest is no secure one any more; its
   * pages are ordinary ones, with their contents unless `skipPageOut`. Pages that
   * could not be brought back.
   */
  dropPages(baseGfn: number, skipPageOut: boolean): number {
    const slot = this.#slotOf(baseGfn);
    if (slot === undefined) return 0;
    for (let i = 0; i < slot.pages; i++) {
      if (slot.states[i] === GFN_SECURE) {
        const pvt = this.uvmem.pvtOf(slot.secure[i]);
        pvt.skipPageOut = skipPageOut;
        pvt.removeGfn = true;
        this.#pageOut(slot.vpn + i);
      } else slot.states[i] = GFN_NORMAL;
    }
    return slot.states.reduce((n, state) => n + (state === GFN_SECURE ? 1 : 0), 0);
  }

  /** The guest loads from a frame of its own, within a page. 0, or −EFAULT where it must be paged in first. */
  read(gfn: number, at: number, out: Uint8Array): number {
    return this.#access(
      gfn,
      (page) => this.uvmem.devices.load(page, at, out),
      (addr) => out.set(this.#process.read(addr + at, out.length)),
    );
  }

  /** The guest stores into it. */
  write(gfn: number, at: number, bytes: Uint8Array): number {
    return this.#access(
      gfn,
      (page) => this.uvmem.devices.store(page, at, bytes),
      (addr) => this.#process.write(addr + at, bytes),
    );
  }

  #access(gfn: number, secure: (page: number) => void, shared: (addr: number) => void): number {
    const slot = this.#slotOf(gfn);
    if (slot === undefined) return EFAULT;
    const i = gfn - slot.baseGfn;
    const state = slot.states[i];
    if (state === GFN_SECURE) secure(slot.secure[i]);
    else if (state === GFN_PAGED_OUT) return EFAULT;
    else shared((slot.vpn + i) * PAGE_SIZE);
    return 0;
  }
}
