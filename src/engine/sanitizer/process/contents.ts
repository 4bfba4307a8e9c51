/**
 * Contents that change by themselves: a checksum of what every process sees at
 * every page, kept from one check to the next.
 *
 * Between two checks writes, copies and what processes give up are heard of; a
 * page that shows something else although its frame was not written is reported,
 * whatever moved it meanwhile (migration, swap, split, collapse, copy-on-write).
 * A file's page that was dropped and read again is only followed while it stays
 * in its frame or is copied: what the store holds is not looked at here.
 */
import { PG_SWAPBACKED } from "../../design/word/axis-flags.js";
import { T_MISC } from "../../design/word/axis-types.js";
import type { KernelReport } from "./rule.js";
import type { FolioView, MmView } from "./shape.js";
import { place, type ProcessView } from "./view.js";

interface Seen {
  /** Check in which it was seen last. */
  readonly round: number;
  readonly hash: number;
  readonly frame: number;
  readonly anon: boolean;
}

const PAGE = new Uint8Array(4096);
const WORDS = new Int32Array(PAGE.buffer);

/** FNV-1a by words of 32 bits. */
function hashOf(view: ProcessView, frame: number): number {
  view.core.content.read(frame, 0, PAGE);
  let hash = 0x811c9dc5;
  for (const word of WORDS) hash = Math.imul(hash ^ word, 0x01000193);
  return hash;
}

/**
 * Whether what was written at a place may be seen later by somebody who saw it before:
 * in the swap cache, in a page of a device, in a page that a driver keeps for one.
 */
function isKept(view: ProcessView, at: number): boolean {
  if ((view.folioAt(at)?.slots ?? 0) > 0 || view.privateAt(at) !== undefined) return true;
  const { machine, design } = view.core;
  return view.device !== null && at < machine.deviceFirst && design.typeOf(at) === T_MISC;
}

export class Contents {
  #round = 0;
  /** By process, by page. */
  #seen = new Map<number, Map<number, Seen>>();
  /** Places written since the last check; the swap device's slots and cached pages stay for who reads them later. */
  readonly #written = new Set<number>();
  /** Where the content of a frame was at the last check. */
  readonly #origin = new Map<number, number>();

  wrote(frame: number): void {
    this.#written.add(frame);
  }

  copied(from: number, to: number): void {
    if (this.#written.has(from)) this.#written.add(to);
    else this.#written.delete(to);
    this.#origin.set(to, this.#origin.get(from) ?? from);
  }

  forgotten(mmId: number, start: number, end: number): void {
    const pages = this.#seen.get(mmId);
    if (pages === undefined) return;
    if (end - start < pages.size) for (let vpn = start; vpn < end; vpn++) pages.delete(vpn);
    else for (const vpn of pages.keys()) if (vpn >= start && vpn < end) pages.delete(vpn);
  }

  /** Compares with the last check, and remembers. */
  check(view: ProcessView, report: KernelReport): void {
    this.#round++;
    const live = new Set(view.mms.map((mm) => mm.id));
    for (const id of this.#seen.keys()) if (!live.has(id)) this.#seen.delete(id);
    for (const folio of view.folios.values()) {
      const anon = view.base.folios.isAnon(folio.ref);
      // A page that was freed lazily may go at any time.
      const lazy = anon && !view.base.folios.test(folio.ref, PG_SWAPBACKED);
      const hashes = new Map<number, number>();
      for (const { mm, entry, page } of folio.mappings) {
        for (let i = 0; i < (entry.huge ? 2 ** folio.order : 1); i++) {
          const frame = folio.pfn + page + i;
          if (!hashes.has(frame)) hashes.set(frame, hashOf(view, frame));
          const now = { round: this.#round, hash: hashes.get(frame) ?? 0, frame, anon };
          this.#page(folio, mm, entry.vpn + i, now, lazy, report);
        }
      }
    }
    this.#dropUnseen();
    // A page of the swap cache is mapped later by others who saw it before it was written.
    for (const at of this.#written) if (at >= 0 && !isKept(view, at)) this.#written.delete(at);
    this.#origin.clear();
  }

  /** A file's page that nobody maps now may be written and dropped unseen; swap keeps what it has. */
  #dropUnseen(): void {
    for (const pages of this.#seen.values())
      for (const [vpn, seen] of pages)
        if (!seen.anon && seen.round !== this.#round) pages.delete(vpn);
  }

  #page(
    folio: FolioView,
    mm: MmView,
    vpn: number,
    now: Seen,
    lazy: boolean,
    report: KernelReport,
  ): void {
    let pages = this.#seen.get(mm.id);
    if (pages === undefined) this.#seen.set(mm.id, (pages = new Map<number, Seen>()));
    const was = pages.get(vpn);
    if (was !== undefined && was.hash !== now.hash && !this.#written.has(now.frame)) {
      const followed =
        (was.anon && now.anon) ||
        was.frame === now.frame ||
        this.#origin.get(now.frame) === was.frame;
      if (followed)
        report(
          now.frame,
          `what it holds changed without a write since it was in frame ${was.frame}`,
          `${place(mm, vpn)}, order ${folio.order}`,
        );
    }
    if (lazy) pages.delete(vpn);
    else pages.set(vpn, now);
  }
}
