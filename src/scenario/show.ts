/**
 * The state of a machine for `show`: memory, metadata, and pages word by word.
 * Reads words and writes none.
 */
import { isFolioType, MISC_NAMES, T_MISC, TYPE_NAMES } from "../engine/design/word/axis-types.js";
import type { Machine } from "../engine/machine.js";
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
    pages: [...pages].map((pfn) => pageOf(subject.machine, pfn)),
  };
}

function pageOf(machine: Machine, pfn: number): ShownPage {
  const { frames } = machine.config;
  if (!Number.isInteger(pfn) || pfn < 0 || pfn >= frames) {
    throw new ScenarioError(`there is no frame ${pfn}: frames are 0 … ${frames - 1}`);
  }
  const { design, w } = machine;
  const type = design.typeOf(pfn);
  const ref = design.descriptorOf(pfn);
  return {
    pfn,
    type: typeText(machine, pfn),
    block: design.blockOf(pfn),
    order: design.orderOf(pfn),
    words: wordsOf(machine, pfn),
    descriptor: ref === 0 ? null : `0x${(ref * 16).toString(16)}`,
    references: isFolioType(type) ? w.load32(ref, design.folio.refcount) : null,
  };
}

function typeText(machine: Machine, pfn: number): string {
  const type = machine.design.typeOf(pfn);
  if (type !== T_MISC) return TYPE_NAMES[type];
  return `misc/${MISC_NAMES[machine.design.subtypeOf(pfn)] ?? "unassigned"}`;
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

/** What the words say of a page, for the report of a broken rule. */
export function holderOf(machine: Machine, pfn: number): string {
  if (pfn < 0 || pfn >= machine.config.frames) return "no page is named";
  const page = pageOf(machine, pfn);
  const block =
    page.order > 0 || page.block !== pfn ? `, order ${page.order} from frame ${page.block}` : "";
  const count = page.references === null ? "" : `, references ${page.references}`;
  return `its words say ${page.type}${block}${count}`;
}
