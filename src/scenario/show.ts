/**
 * The state of a machine for `show`: memory, metadata, and pages word by word.
 * Reads words and writes none.
 */
import {
  isFolioType,
  MISC_NAMES,
  T_ANON,
  T_ANON_EXCLUSIVE,
  T_MISC,
  TYPE_NAMES,
} from "../engine/design/word/axis-types.js";
import type { Machine } from "../engine/machine.js";
import type { Kernel } from "../engine/process/kernel.js";
import type { Remark, ShownPage } from "./record.js";
import { ScenarioError } from "./scenario.js";
import { readingOf, type Subject } from "./subject.js";

/** The state as a remark. Throws ScenarioError for a frame that the machine does not have. */
export function shown(subject: Subject, title: string, pages: Iterable<number>): Remark {
  const { metadata, freePages } = readingOf(subject);
  return {
    is: "show",
    title,
    freePages,
    metadata: [...metadata]
      .map(([kind, bytes]) => ({ kind, bytes }))
      .filter(({ bytes }) => bytes > 0),
    pages: [...pages].map((pfn) => pageOf(subject.kernel, pfn)),
  };
}

function pageOf(kernel: Kernel, pfn: number): ShownPage {
  const { machine } = kernel;
  const { frames } = machine.config;
  if (!Number.isInteger(pfn) || pfn < 0 || pfn >= frames) {
    throw new ScenarioError(`there is no frame ${pfn}: frames are 0 … ${frames - 1}`);
  }
  const { type, block, order, exclusive, refcount, mapcount, pins, flags } = kernel.page(pfn);
  const ref = machine.design.descriptorOf(pfn);
  return {
    pfn,
    type,
    exclusive,
    block,
    order,
    words: wordsOf(machine, pfn),
    descriptor: ref === 0 ? null : `0x${(ref * 16).toString(16)}`,
    references: refcount,
    mapcount,
    pins,
    flags,
  };
}

function wordsOf({ design, w }: Machine, pfn: number): string[] {
  const { ref, off } = design.wordsOf(pfn);
  return Array.from({ length: design.pageBytes / 8 }, (_, i) => {
    const lo = w.load64(ref, off + i * 8);
    return hex64(lo, w.hi);
  });
}

const hex64 = (lo: number, hi: number): string =>
  `0x${(hi >>> 0).toString(16).padStart(8, "0")}${(lo >>> 0).toString(16).padStart(8, "0")}`;

/** What the words say of a page, for the report of a broken rule: no more than can be read of a broken page. */
export function holderOf({ design, w, config }: Machine, pfn: number): string {
  if (pfn < 0 || pfn >= config.frames) return "no page is named";
  const type = design.typeOf(pfn);
  const misc = type === T_MISC ? `/${MISC_NAMES[design.subtypeOf(pfn)] ?? "unassigned"}` : "";
  const name = TYPE_NAMES[type === T_ANON_EXCLUSIVE ? T_ANON : type];
  const block = design.blockOf(pfn);
  const order = design.orderOf(pfn);
  const place = order > 0 || block !== pfn ? `, order ${order} from frame ${block}` : "";
  const count = isFolioType(type)
    ? w.load32(design.descriptorOf(pfn), design.folio.refcount)
    : null;
  return `its words say ${name}${misc}${place}${count === null ? "" : `, references ${count}`}`;
}
