/**
 * The sanitizer of a kernel: all rules of its processes, and the rules of the
 * machine under them.
 *
 * `watchKernel` switches on what can only be seen when it happens; `inspectKernel`
 * looks at the state between two operations. Both cost nothing while they are
 * off: one comparison per event, no walk.
 */
import { MISC_UNKNOWN, MISC_ZERO, T_MISC, T_PGTABLE } from "../../design/word/axis-types.js";
import type { RuleViolation } from "../../errors.js";
import { S_HUGE_ZERO_PFN, S_ZERO_PFN } from "../../process/core.js";
import { PMD_ORDER, PMD_PAGES } from "../../process/constants.js";
import type { Kernel } from "../../process/kernel.js";
import { deviceViolations } from "../device/sanitizer.js";
import { inspectMachine } from "../sanitizer.js";
import type { Claims, HeldBlock } from "../view.js";
import { ANON_VMAS_ARE_WHOLE, FILES_KNOW_THEIR_VMAS, REVERSE_MAP_FINDS_ALL } from "./anon-vmas.js";
import {
  EXCLUSIVE_PAGES_ARE,
  MAP_COUNTS_MATCH,
  PINS_ARE_EXPLAINED,
  REFERENCES_ARE_EXPLAINED,
  SHARED_FOLIOS_SAY_SO,
  WRITABLE_PRIVATE_PAGES_ARE_EXCLUSIVE,
} from "./counts.js";
import { KernelWatch } from "./events.js";
import { CACHE_TREES_ARE_WHOLE, FILES_ARE_HELD, PAGE_CACHE_MATCHES } from "./files.js";
import {
  FOLIOS_LIE_IN_ONE_ZONE,
  FOLIOS_NAME_LIVE_OBJECTS,
  LIVE_FOLIOS_ARE_COUNTED,
  MAPPED_PAGES_ARE_FOLIOS,
  NAMED_FOLIOS_LIVE,
  SPECIAL_ENTRIES_HAVE_NO_FOLIO,
} from "./kinds.js";
import { FOLIOS_ARE_HELD, NOTHING_IS_LEFT, NOTHING_MOVES_BETWEEN_OPERATIONS } from "./leaks.js";
import { DEFERRED_QUEUE_IS_WHOLE, LRU_LISTS_ARE_WHOLE } from "./lists.js";
import { NOTIFIERS_ARE_AT_REST } from "./notifiers.js";
import {
  CGROUPS_COUNT_THEIR_FOLIOS,
  freeHugePages,
  HUGETLB_POOL_ADDS_UP,
  SWAP_SLOTS_ARE_COUNTED,
} from "./pools.js";
import { KernelViolation, kernelViolationsOf, type KernelRule } from "./rule.js";
import { explained } from "./tally.js";
import { USERFAULTFDS_KNOW_THEIR_MEMORY } from "./user-faults.js";
import {
  ENTRIES_LIE_IN_VMAS,
  RSS_IS_WHAT_IS_MAPPED,
  TABLES_ARE_NEEDED,
  VMAS_ARE_IN_ORDER,
} from "./vmas.js";
import type { FolioView, Holdings } from "./shape.js";
import { framesOfArrays, kernelTables, processView, type ProcessView } from "./view.js";

/** Rules of states, those first on which others rest. */
export const KERNEL_RULES: readonly KernelRule[] = [
  VMAS_ARE_IN_ORDER,
  TABLES_ARE_NEEDED,
  ENTRIES_LIE_IN_VMAS,
  MAPPED_PAGES_ARE_FOLIOS,
  NAMED_FOLIOS_LIVE,
  LIVE_FOLIOS_ARE_COUNTED,
  FOLIOS_NAME_LIVE_OBJECTS,
  FOLIOS_LIE_IN_ONE_ZONE,
  SPECIAL_ENTRIES_HAVE_NO_FOLIO,
  REFERENCES_ARE_EXPLAINED,
  PINS_ARE_EXPLAINED,
  MAP_COUNTS_MATCH,
  SHARED_FOLIOS_SAY_SO,
  EXCLUSIVE_PAGES_ARE,
  WRITABLE_PRIVATE_PAGES_ARE_EXCLUSIVE,
  LRU_LISTS_ARE_WHOLE,
  DEFERRED_QUEUE_IS_WHOLE,
  RSS_IS_WHAT_IS_MAPPED,
  ANON_VMAS_ARE_WHOLE,
  FILES_KNOW_THEIR_VMAS,
  REVERSE_MAP_FINDS_ALL,
  PAGE_CACHE_MATCHES,
  CACHE_TREES_ARE_WHOLE,
  FILES_ARE_HELD,
  SWAP_SLOTS_ARE_COUNTED,
  HUGETLB_POOL_ADDS_UP,
  CGROUPS_COUNT_THEIR_FOLIOS,
  FOLIOS_ARE_HELD,
  NOTHING_MOVES_BETWEEN_OPERATIONS,
  NOTIFIERS_ARE_AT_REST,
  USERFAULTFDS_KNOW_THEIR_MEMORY,
];

/** Name of the rule that compares contents from check to check. */
export const CONTENT_LOST = "contents change only when they are written";

/** Switches events on: what they show is reported by the next `inspectKernel`. */
export function watchKernel(kernel: Kernel): KernelWatch {
  const watch = new KernelWatch(kernel);
  kernel.base.core.watch = watch;
  kernel.base.core.content.onCopy = (from, to) => watch.copied(from, to);
  return watch;
}

/**
 * Every violation of every rule, events since the last call first; none for a
 * kernel that is in order. `holdings` says what somebody outside holds.
 */
export function inspectKernel(kernel: Kernel, holdings: Holdings = {}): RuleViolation[] {
  const view = processView(kernel, holdings);
  return [...inspectView(kernel, view), ...inspectMachine(kernel.machine, claimsOf(view))];
}

/** The rules of processes only, for whoever claims the machine's blocks himself. */
export function inspectProcesses(kernel: Kernel, holdings: Holdings = {}): RuleViolation[] {
  return inspectView(kernel, processView(kernel, holdings));
}

function inspectView(kernel: Kernel, view: ProcessView): RuleViolation[] {
  const { watch } = kernel.base.core;
  const events = watch instanceof KernelWatch ? watch.take() : [];
  const states = KERNEL_RULES.flatMap((rule) => kernelViolationsOf(rule, view));
  if (watch instanceof KernelWatch) {
    watch.contents.check(view, (pfn, detail, holder) =>
      states.push(new KernelViolation(CONTENT_LOST, pfn, detail, holder, view.step)),
    );
  }
  return [...events, ...states, ...deviceViolations(view)];
}

/** What is left of a kernel in which everything has ended: names of leaks. */
export function leaksOf(kernel: Kernel): RuleViolation[] {
  return kernelViolationsOf(NOTHING_IS_LEFT, processView(kernel));
}

/** Every block that a kernel holds: what the rules of its machine must be told. */
export function claimsOf(view: ProcessView): Claims {
  return { given: view.kernel.given, held: heldBlocks(view) };
}

/** Folios that the machine's page words describe: also those of private memory, where it has struct pages. */
function* describedFolios(view: ProcessView): Generator<FolioView> {
  yield* view.folios.values();
  const { design } = view.core;
  if (view.device?.zoneDevice.privates.record.name !== "page") return;
  // Until it is mapped an overlay does not say what it is.
  for (const folio of view.privates.values()) yield { ...folio, type: design.typeOf(folio.pfn) };
}

/** Folios of devices that the machine's page words describe: `described` of its claims, for who reads from the words what is held. */
export function deviceBlocks(kernel: Kernel): HeldBlock[] {
  if (kernel.base.device === null) return [];
  return [...describedFolios(processView(kernel))]
    .filter(({ pfn }) => pfn >= kernel.machine.deviceFirst)
    .map(({ pfn, order, type }) => ({ pfn, order, type, subtype: 0, refs: 0 }));
}

function* heldBlocks(view: ProcessView): Generator<HeldBlock> {
  const { kernel, core } = view;
  for (const folio of describedFolios(view))
    yield {
      pfn: folio.pfn,
      order: folio.order,
      type: folio.type,
      subtype: folio.type === T_MISC ? core.design.subtypeOf(folio.pfn) : 0,
      refs: explained(kernel, folio),
    };
  const plain = { subtype: 0, refs: 0 };
  const processes = view.mms.flatMap((mm) => mm.tables.map((t) => t.pfn));
  const tables = new Set([...processes, ...kernelTables(kernel).map((t) => t.pfn)]);
  for (const pfn of tables) yield { ...plain, pfn, order: 0, type: T_PGTABLE };
  const zero = core.w.load32(core.state, S_ZERO_PFN) - 1;
  const misc = { refs: 0, type: T_MISC };
  if (zero >= 0) yield { ...misc, pfn: zero, order: 0, subtype: MISC_ZERO };
  const huge = core.w.load32(core.state, S_HUGE_ZERO_PFN) - 1;
  if (huge >= 0) yield { ...misc, pfn: huge, order: PMD_ORDER, subtype: MISC_ZERO };
  // A pooled block belongs to nobody: each of its pages stands for itself.
  for (const pfn of freeHugePages(kernel))
    for (let i = 0; i < PMD_PAGES; i++)
      yield { ...misc, pfn: pfn + i, order: 0, subtype: MISC_UNKNOWN };
  for (const pfn of framesOfArrays(kernel))
    yield { ...misc, pfn, order: 0, subtype: core.design.subtypeOf(pfn) };
  // What describes device memory lies in pages of the machine.
  const records: number[] = [];
  kernel.machine.deviceArea?.forEachFrame((pfn) => records.push(pfn));
  for (const pfn of records) yield { ...misc, pfn, order: 0, subtype: core.design.subtypeOf(pfn) };
  yield* view.holdings.blocks ?? [];
}
