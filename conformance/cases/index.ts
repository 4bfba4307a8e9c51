/**
 * All cases, in the order of the text. Every one can be represented here, and none
 * is skipped: the machines have what a skip would be for (huge pages of a pool,
 * gup_test, userfaultfd).
 */
import { BASE_PAGES } from "./base-pages.js";
import { BASIC_MIRRORING } from "./basic-mirroring.js";
import type { Case } from "./case.js";
import { EXCLUSIVE } from "./exclusive.js";
import { GUP_COW } from "./gup-cow.js";
import { HUGE_PAGES } from "./huge-pages.js";
import { SNAPSHOTS } from "./snapshots.js";
import { USERFAULTFD } from "./userfaultfd.js";

export const CASES: readonly Case[] = [
  ...BASIC_MIRRORING,
  ...BASE_PAGES,
  ...SNAPSHOTS,
  ...EXCLUSIVE,
  ...GUP_COW,
  ...HUGE_PAGES,
  ...USERFAULTFD,
];
