/**
 * The sanitizer: all rules of the machine, and checking a machine by them.
 *
 * It costs a walk over every frame, so it runs between operations in tests and in
 * the soak run, never inside one. Each rule has a test that breaks the machine and
 * sees the rule fire.
 */
import type { RuleViolation } from "../errors.js";
import type { Machine } from "../machine.js";
import {
  FOLIOS_ARE_COUNTED,
  FREED_FOLIOS_ARE_NOT_COUNTED,
  FREE_PAGES_ANSWER_FREE,
  ONLY_FOLIOS_ARE_COUNTED,
  PAGES_ANSWER_FOR_THEIR_BLOCK,
} from "./blocks.js";
import {
  BYTES_ADD_UP,
  CACHES_ADD_UP,
  DESCRIPTORS_ARE_OBJECTS,
  PARTIAL_LISTS_ARE_WHOLE,
  SLABS_ADD_UP,
  SLABS_OF_SLABS_DESCRIBE_THEMSELVES,
} from "./descriptors.js";
import { BUDDIES_ARE_MERGED, LOCATION_IS_KNOWN, ONE_PLACE } from "./frames.js";
import {
  FREE_BLOCKS_ARE_OF_THEIR_PAGEBLOCK,
  FREE_BLOCKS_SAY_SO,
  FREE_COUNTS_AGREE,
  LINKS_AGREE,
  LISTED_BLOCKS_ARE_OF_THE_ZONE,
  PCP_BLOCKS_DO_NOT_MERGE,
  PCP_COUNTS_AGREE,
} from "./lists.js";
import { violationsOf, type Rule } from "./rule.js";
import { viewOf, type Claims } from "./view.js";

/** Every rule, lists first: what rests on a broken list is reported after it. */
export const RULES: readonly Rule[] = [
  LINKS_AGREE,
  FREE_BLOCKS_SAY_SO,
  FREE_BLOCKS_ARE_OF_THEIR_PAGEBLOCK,
  LISTED_BLOCKS_ARE_OF_THE_ZONE,
  FREE_COUNTS_AGREE,
  PCP_COUNTS_AGREE,
  PCP_BLOCKS_DO_NOT_MERGE,
  ONE_PLACE,
  BUDDIES_ARE_MERGED,
  LOCATION_IS_KNOWN,
  PAGES_ANSWER_FOR_THEIR_BLOCK,
  FREE_PAGES_ANSWER_FREE,
  FOLIOS_ARE_COUNTED,
  ONLY_FOLIOS_ARE_COUNTED,
  FREED_FOLIOS_ARE_NOT_COUNTED,
  SLABS_ADD_UP,
  DESCRIPTORS_ARE_OBJECTS,
  SLABS_OF_SLABS_DESCRIBE_THEMSELVES,
  CACHES_ADD_UP,
  PARTIAL_LISTS_ARE_WHOLE,
  BYTES_ADD_UP,
];

/** Every violation of every rule; none for a machine that is in order. */
export function inspectMachine(m: Machine, claims: Claims): RuleViolation[] {
  const view = viewOf(m, claims);
  return RULES.flatMap((rule) => violationsOf(rule, view));
}

/** Throws the first RuleViolation, if there is one. */
export function checkMachine(m: Machine, claims: Claims): void {
  const [first] = inspectMachine(m, claims);
  if (first !== undefined) throw first;
}
