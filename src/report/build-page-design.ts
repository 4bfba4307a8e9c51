/**
 * One page in one design: what its frame carries, what that points at, what the
 * design answers about it, and what it cannot say.
 */
import { STRUCT_OF } from "../engine/design/word/axis-descriptors.js";
import type { KnowsHead, PageDesign } from "../engine/design/word/axis.js";
import {
  isFolioType,
  MISC_NAMES,
  T_BUDDY,
  T_MISC,
  T_SLAB,
  TYPE_NAMES,
  type PageType,
} from "../engine/design/word/axis-types.js";
import { STRUCTS } from "../engine/layout/generated/tables.js";
import type { StructTable } from "../engine/layout/struct-table.js";
import type { Machine } from "../engine/machine.js";
import { populate } from "../observe/roundtrip/populate.js";
import type { Classification } from "../observe/objects.js";
import type { Snapshot } from "../observe/snapshot.js";
import { formatCount } from "../units.js";
import { address, locationOf, structFields, wordsOf } from "./decode.js";
import type { PageDescriptor, PageInDesign } from "./page-model.js";

/** Builds the machine of this design and looks at one of its pages. */
export function pageInDesign(
  snapshot: Snapshot,
  classification: Classification,
  name: string,
  pfn: number,
): PageInDesign {
  const { machine } = populate(snapshot, classification, name);
  const { design } = machine;
  if (!machine.config.present.some((p) => pfn >= p.start && pfn < p.end)) {
    const reason = "its section has no memory, so the page array has no entry for it";
    return {
      design: machine.choice.name,
      words: [],
      descriptor: null,
      answers: [],
      refused: [{ question: "what is this page?", reason }],
    };
  }
  const entry = design.wordsOf(pfn);
  const table: StructTable = STRUCTS[entry.struct as keyof typeof STRUCTS];
  return {
    design: machine.choice.name,
    words: wordsOf(machine, pfn, table, entry.ref, entry.off),
    descriptor: descriptorOf(machine, pfn),
    answers: answers(machine, pfn),
    refused: refused(machine, pfn),
  };
}

function structOf(machine: Machine, type: PageType, order: number): keyof typeof STRUCTS {
  if (machine.choice.word === "slot64") {
    return type === T_SLAB
      ? "SLOT_SLAB_REST"
      : order > 0
        ? "SLOT_FOLIO_LARGE_REST"
        : "SLOT_FOLIO_REST";
  }
  const struct = STRUCT_OF[type];
  return struct === "FOLIO" && order > 0 ? "FOLIO_LARGE" : struct;
}

function descriptorOf(machine: Machine, pfn: number): PageDescriptor | null {
  const { design } = machine;
  const ref = design.separateOf(pfn);
  if (ref === 0) return null;
  const type = design.typeOf(pfn);
  const struct = structOf(machine, type, design.orderOf(pfn));
  const table: StructTable = STRUCTS[struct];
  const frame = machine.heap.frameOf(ref);
  return {
    type: `${TYPE_NAMES[type]} (struct ${struct.toLowerCase()}, in frame ${frame})`,
    address: address(ref),
    size: table.size,
    fields: structFields(
      machine,
      table,
      ref,
      (f) => f.overlay || (f.width > 8 && f.name !== "flags" && f.width !== 16),
    ),
  };
}

function answers(machine: Machine, pfn: number): { question: string; answer: string }[] {
  const { design } = machine;
  const type = design.typeOf(pfn);
  const subtype = type === T_MISC ? ` / ${MISC_NAMES[design.subtypeOf(pfn)] ?? "unassigned"}` : "";
  const { zone, node } = locationOf(machine, pfn);
  const rows = [
    { question: "what is it?", answer: `${TYPE_NAMES[type]}${subtype}` },
    {
      question: "which block?",
      answer: `order ${design.orderOf(pfn)} from frame ${formatCount(design.blockOf(pfn))}`,
    },
    { question: "where?", answer: `node ${node}, zone ${zone}` },
  ];
  if (isFolioType(type)) {
    const count = design.mapcountOf(pfn);
    rows.push({
      question: "mapped how often?",
      answer: design.mapcounts === "per-page" ? String(count) : `${count} (the folio's average)`,
    });
    rows.push({
      question: "references?",
      answer: String(machine.w.load32(design.descriptorOf(pfn), design.folio.refcount)),
    });
  }
  if (knowsHead(design)) {
    rows.push({
      question: "is it the first page?",
      answer: design.isHead(pfn) ? "yes" : design.isTail(pfn) ? "no, a tail" : "it is not compound",
    });
  }
  return rows;
}

const knowsHead = (design: PageDesign): design is PageDesign & KnowsHead => "isHead" in design;

function refused(machine: Machine, pfn: number): { question: string; reason: string }[] {
  const { design } = machine;
  const type = design.typeOf(pfn);
  const rows: { question: string; reason: string }[] = [];
  if (!knowsHead(design))
    rows.push({
      question: "is it the first page?",
      reason: "every page of a block carries the same word; PG_head is gone",
    });
  if (isFolioType(type) && design.mapcounts === "per-folio") {
    rows.push({
      question: "how often is this very page mapped?",
      reason: "map counts are per folio: the word has no room",
    });
  }
  if (!isFolioType(type) && type !== T_BUDDY && !design.overlay) {
    rows.push({
      question: "references?",
      reason: `${TYPE_NAMES[type]} has no reference count; get and put on it are errors`,
    });
  }
  return rows;
}
