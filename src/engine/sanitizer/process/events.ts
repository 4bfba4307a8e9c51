/**
 * Rules that can be seen only while something happens: a count that goes below
 * zero, a folio that is freed while somebody holds it, a count asked of a page
 * that has none, a pin of a page that a driver mapped by its frame number.
 *
 * Events are written down, not thrown: between its first and last access to
 * words an engine function must not be left. `inspectKernel` reports them.
 */
import type { Ref } from "../../../units.js";
import { isFolioType, TYPE_NAMES } from "../../design/word/axis-types.js";
import { VM_PFNMAP } from "../../process/constants.js";
import type { Kernel } from "../../process/kernel.js";
import { PG_SWAPCACHE } from "../../process/swap.js";
import type { Watch } from "../../process/watch.js";
import { deviceLayerOf, type DeviceLayer } from "../device/layer.js";
import { Contents } from "./contents.js";
import { KernelViolation } from "./rule.js";
import { holderOf, place, processView } from "./view.js";

export const BELOW_ZERO = "references stay above zero";
export const FREED_UNHELD = "what is freed is held by nobody";
export const COUNTLESS = "only folios are counted and mapped";
export const PFNMAP_PINNED = "pages mapped by frame number are not pinned";

/** More of them than this are not kept: the first ones tell. */
const MOST = 100;

export class KernelWatch implements Watch {
  readonly kernel: Kernel;
  readonly contents = new Contents();
  /** Events so far: the step of a violation where the caller counts none. */
  events = 0;
  #found: KernelViolation[] = [];

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  /** Violations since the last call. */
  take(): KernelViolation[] {
    const found = this.#found;
    this.#found = [];
    return found;
  }

  #report(rule: string, pfn: number, detail: string, holder: string): void {
    if (this.#found.length >= MOST) return;
    const step = this.kernel.base.core.step || this.events;
    this.#found.push(new KernelViolation(rule, pfn, detail, holder, step));
  }

  /** Who holds a page now: a walk, taken only when something is wrong. */
  #holder(pfn: number): string {
    const view = processView(this.kernel);
    return holderOf(view.folioAt(pfn) ?? view.privateAt(pfn));
  }

  reference(folio: Ref, pfn: number, n: number, count: number): void {
    this.events++;
    if (count < 0)
      this.#report(BELOW_ZERO, pfn, `${n} took its count to ${count}`, this.#holder(pfn));
    else if (n > 0 && count <= n)
      this.#report(
        BELOW_ZERO,
        pfn,
        `folio ${folio} had ${count - n} references and was got`,
        this.#holder(pfn),
      );
  }

  freeing(folio: Ref, pfn: number): void {
    this.events++;
    const device = deviceLayerOf(this.kernel);
    if (device !== null && pfn >= device.numbers.firstPrivate)
      return this.#freeingPrivate(device, folio, pfn);
    const { folios, counts, core } = this.kernel.base;
    const order = core.design.orderOf(pfn);
    const wrong = (what: string): void => this.#report(FREED_UNHELD, pfn, what, this.#holder(pfn));
    const mappings = counts.total(folio, order);
    if (mappings !== 0) wrong(`it is freed with ${mappings} mappings`);
    const { layout } = core;
    const at = order > 0 ? layout.pincount : layout.smallPincount;
    const pins = at < 0 ? 0 : core.w.load32(core.rest(folio), at);
    if (pins !== 0) wrong(`it is freed with ${pins} pins`);
    if (folios.isAnon(folio)) {
      if (folios.test(folio, PG_SWAPCACHE)) wrong("it is freed and stands for a swap slot");
    } else if (this.#isCached(folio)) wrong("it is freed and in a file's cache");
  }

  freeingPrivate(page: number, mappings: number): void {
    this.events++;
    if (mappings !== 0)
      this.#report(FREED_UNHELD, page, `it is freed with ${mappings} mappings`, "a device");
  }

  /** A folio of device-private memory: never pinned, never cached. */
  #freeingPrivate({ privates }: DeviceLayer, folio: Ref, page: number): void {
    const mappings = privates.counts.total(folio, privates.pages.orderOf(page));
    if (mappings === 0) return;
    const who = holderOf(processView(this.kernel).privateAt(page));
    this.#report(FREED_UNHELD, page, `it is freed with ${mappings} mappings`, who);
  }

  /** Whether the tree that its mapping names has it. A fresh folio names one that has nothing. */
  #isCached(folio: Ref): boolean {
    const { folios, cache } = this.kernel.base;
    const mapping = folios.mapping(folio);
    return mapping !== 0 && cache.lookup(mapping, folios.index(folio)) === folio;
  }

  pinned(pfn: number, special: boolean): void {
    this.events++;
    const { core, special: pages } = this.kernel.base;
    if (special) {
      if (pages === null)
        this.#report(PFNMAP_PINNED, pfn, "a special page is held through nobody", "GUP");
      return;
    }
    if (core.isZeroPage(pfn) || core.isHugeZero(pfn & -512)) return;
    if (!isFolioType(core.design.typeOf(pfn)) && pages?.countsAsFolio(pfn) !== true)
      this.#report(
        PFNMAP_PINNED,
        pfn,
        `a page of type ${TYPE_NAMES[core.design.typeOf(pfn)]} was pinned`,
        this.#mappedBy(pfn),
      );
  }

  /** Which driver's mapping has a frame. */
  #mappedBy(pfn: number): string {
    const view = processView(this.kernel);
    for (const mm of view.mms)
      for (const e of mm.entries)
        if (e.pfn === pfn)
          return `${place(mm, e.vpn)}${((view.vmaAt(mm, e.vpn)?.flags ?? 0) & VM_PFNMAP) !== 0 ? ", mapped by frame number" : ""}`;
    return "GUP";
  }

  countless(pfn: number, what: string): void {
    this.events++;
    this.#report(COUNTLESS, pfn, what, this.#mappedBy(pfn));
  }

  wrote(pfn: number): void {
    this.contents.wrote(pfn);
  }

  copied(from: number, to: number): void {
    this.contents.copied(from, to);
  }

  forgotten(mmId: number, start: number, end: number): void {
    this.contents.forgotten(mmId, start, end);
  }
}
