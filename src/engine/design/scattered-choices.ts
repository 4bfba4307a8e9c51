/**
 * Puts a design's scattered memory together: object, lookup, home of node and
 * zone, one file each under scattered*, built on what the machine hands in.
 */
import { PfnIndex } from "./scattered-lookup/pfn-index.js";
import { FilePrivate } from "./scattered-lookup/file-private.js";
import { SlotLookup } from "./scattered-lookup/slot.js";
import { VmaPrivate } from "./scattered-lookup/vma-private.js";
import { WordLookup } from "./scattered-lookup/word.js";
import type { LookupContext, ScatteredLookup } from "./scattered-lookup/axis.js";
import type { ScatteredNid } from "./scattered-nid/axis.js";
import { NID_IN_FLAGS } from "./scattered-nid/flags.js";
import { NID_REBUILT } from "./scattered-nid/rebuilt.js";
import { NID_IN_WORD } from "./scattered-nid/word.js";
import type { ScatteredChoice } from "./scattered-rules.js";
import type { ScatteredContext, ScatteredObject } from "./scattered/axis.js";
import { NO_OBJECT } from "./scattered/none.js";
import { PerPage } from "./scattered/per-page.js";
import { Scamem } from "./scattered/scamem.js";
import { VmStructCount } from "./scattered/vm-struct.js";

/** Scattered memory of one design. */
export interface ScatteredParts {
  readonly object: ScatteredObject;
  readonly lookup: ScatteredLookup | null;
  readonly nid: ScatteredNid;
}

/** Throws RangeError for a design whose pages have no counts and that counts pages: parsing refuses it. */
export function createScattered(
  choice: ScatteredChoice,
  context: ScatteredContext & LookupContext,
): ScatteredParts {
  return {
    object: objectOf(choice, context),
    lookup: lookupOf(choice, context),
    nid:
      choice.scatteredNid === "word"
        ? NID_IN_WORD
        : choice.scatteredNid === "flags"
          ? NID_IN_FLAGS
          : NID_REBUILT,
  };
}

function objectOf(choice: ScatteredChoice, context: ScatteredContext): ScatteredObject {
  switch (choice.scattered) {
    case "none":
      return NO_OBJECT;
    case "per-page":
      if (context.pages === null) throw new RangeError("pages have no counts of their own");
      return new PerPage(context.pages);
    case "vm-struct":
      return new VmStructCount(context.w);
    case "scamem":
      return new Scamem(context.w);
    default:
      return choice.scattered satisfies never;
  }
}

function lookupOf(choice: ScatteredChoice, context: LookupContext): ScatteredLookup | null {
  switch (choice.scatteredLookup) {
    case "none":
      return null;
    case "word":
      return new WordLookup(context);
    case "slot":
      return new SlotLookup(context);
    case "vma-private":
      return new VmaPrivate(context);
    case "file-private":
      return new FilePrivate(context);
    case "pfn-index":
      return new PfnIndex(context);
    default:
      return choice.scatteredLookup satisfies never;
  }
}
