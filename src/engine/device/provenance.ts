/**
 * Where every number of a page comes from: the witness of checked runs.
 *
 * Each conversion between a page and its number is told here (process/number-witness.ts
 * says by whom). For each it is noted which function it was, where the number was held,
 * of which kind it was taken to be, and what told that. Beside the notes there is a book
 * of the numbers that were made, from which four rules follow that a wrong kind breaks:
 * nobody reads a number without knowing its kind; a number is marked as what its page
 * is; no two pages in service have one number; a number leads to the page that it was
 * made for.
 *
 * A site is found as the kernel's page_owner and _RET_IP_ find theirs: whoever called.
 * So none can be left out, and a fast run pays one comparison with null.
 *
 * Rule 4 of the architecture (numbers have kinds), seen from the outside. The claim
 * that it tests: device-facts §2.1; what came of it: docs/device-names.md.
 */
import { RuleViolation } from "../errors.js";
import {
  deviceNumberHigh,
  isDevicePrivate,
  ptePfn,
  PTE_THERE,
  SWP_DEVICE_MIGRATION_READ,
  SWP_DEVICE_MIGRATION_WRITE,
  swapOffset,
  swapType,
} from "../process/entry.js";
import {
  IN_HMM_ARRAY,
  IN_MIGRATE_ARRAY,
  IN_PAGE_TABLE,
  IN_RAW_SCAN,
  IN_SNAPSHOT,
  TOLD_BY_STRUCT,
  TOLD_BY_TYPE,
  TOLD_NOTHING,
  type NumberWitness,
} from "../process/number-witness.js";
import type { Devices } from "./devices.js";
import { HMM_PFN_DEVICE_PRIVATE, HMM_PFN_ORDER_SHIFT } from "./hmm/hmm-pfn.js";
import { MIGRATE_PFN_DEVICE_PRIVATE, MIGRATE_PFN_SHIFT } from "./migrate-pfn.js";

const HOLDERS = [
  "page table",
  "migrate array",
  "HMM array",
  "raw scan",
  "answer",
  "snapshot",
] as const;
const TOLD = ["nothing", "entry type", "array flag", "struct page", "caller", "section"] as const;

export type Holder = (typeof HOLDERS)[number];
/** What told a reader; whoever makes a number has the page, which says. */
export type Told = (typeof TOLD)[number] | "record";

/** One function that turns numbers into pages or pages into numbers, with all that it was seen to do alike. */
export interface ConversionUse {
  /** `device/collect.ts Collect.#absent`; `outside` for what is no part of the engine. */
  readonly site: string;
  readonly does: "makes" | "reads";
  readonly holder: Holder;
  /** Of which kind the number was taken to be. */
  readonly kind: "pfn" | "offset" | "tuple";
  readonly told: Told;
  /** Times, and how often the page was a device-private one. */
  readonly times: number;
  readonly privates: number;
}

export const KINDS_ARE_KNOWN = "nobody reads a number without knowing its kind";
export const MARKED_AS_IT_IS = "a number is marked as what its page is";
export const ONE_NUMBER_ONE_PAGE = "no two pages in service have one number";
export const LEADS_BACK = "a number leads to the page that it was made for";

/** Classes and functions that convert for others: their callers are the sites. */
const HELPERS: ReadonlySet<string> = new Set([
  "Provenance",
  "Numbers",
  "MigratePfns",
  "HmmPfns",
  "RawPfns",
  "caller",
  "ofMigration",
  "#leadsTo",
  "#setMigration",
  "#carried",
  "tell",
]);
const FILE = /(?<!\/test)\/engine\/(\S+?)\.[jt]s/;
const VIOLATIONS_MAX = 100;
/** To find a site costs more than all the rest: done for the first that are alike, then for some. */
const LOOKED_UP = 2048;
const SAMPLE = 61;
/** Site of the others. */
export const NOT_LOOKED_UP = "not looked up";

interface Counted extends ConversionUse {
  times: number;
  privates: number;
}

/** A number with its kind, as one that maps can be keyed by. */
interface NumberOf {
  readonly isPrivate: boolean;
  readonly key: number;
  /** For reports. */
  readonly text: string;
}

export class Provenance implements NumberWitness {
  /** Rules that were broken, in order; the first hundred. */
  readonly violations: RuleViolation[] = [];
  readonly #devices: Devices;
  readonly #ownKind: boolean;
  readonly #kind: "pfn" | "offset" | "tuple";
  readonly #uses = new Map<string, Counted>();
  /** Conversions that differ in nothing but their site. */
  readonly #alike = new Map<string, number>();
  /** Page that each number was last made for, and the function that made it. */
  readonly #made = new Map<number, { readonly page: number; readonly site: string }>();

  /** Checks every number of a kernel's pages from now on. */
  static watch(devices: Devices): Provenance {
    const provenance = new Provenance(devices);
    devices.base.core.witness = provenance;
    devices.numbers.witness = provenance;
    return provenance;
  }

  private constructor(devices: Devices) {
    this.#devices = devices;
    const { naming } = devices;
    this.#ownKind = naming.ownKind;
    this.#kind = naming.name === "physical" ? "pfn" : naming.name;
  }

  /** Page that an entry's number was last made for; −1 for one that nobody made. */
  madeFor(holder: number, lo: number, hi: number): number {
    return this.#made.get(this.#decode(holder, lo, hi, -1).key)?.page ?? -1;
  }

  stop(): void {
    this.#devices.base.core.witness = null;
    this.#devices.numbers.witness = null;
  }

  /** What was seen, by site. */
  uses(): readonly ConversionUse[] {
    const order = (u: ConversionUse): string =>
      `${u.site} ${u.does} ${u.holder} ${u.kind} ${u.told}`;
    return [...this.#uses.values()].toSorted((a, b) => (order(a) < order(b) ? -1 : 1));
  }

  /** Sites that did not know of which kind a number was. */
  unknown(): readonly ConversionUse[] {
    return this.uses().filter((u) => u.told === TOLD[TOLD_NOTHING]);
  }

  made(holder: number, lo: number, hi: number, page: number): void {
    const number = this.#decode(holder, lo, hi, page);
    const site = this.#use("makes", holder, number, "record", page);
    const isPrivate = page >= this.#devices.firstPrivate;
    if (this.#ownKind && number.isPrivate !== isPrivate)
      this.#broken(MARKED_AS_IT_IS, page, `${site} makes ${number.text} of it`);
    const other = this.#made.get(number.key);
    if (other !== undefined && other.page !== page && this.#inService(other.page))
      this.#broken(
        ONE_NUMBER_ONE_PAGE,
        page,
        `${site} makes ${number.text} of it, as ${other.site} did of page ${other.page}`,
      );
    this.#made.set(number.key, { page, site });
  }

  read(
    holder: number,
    told: number,
    isPrivate: boolean,
    lo: number,
    hi: number,
    page: number,
  ): void {
    const number = this.#decode(holder, lo, hi, page);
    const site = this.#use("reads", holder, number, TOLD[this.#toldBy(told, holder, lo, hi)], page);
    if (told === TOLD_NOTHING) {
      this.#broken(KINDS_ARE_KNOWN, page, `${site} takes ${number.text} for what it looks for`);
      return;
    }
    if (this.#ownKind && holder !== IN_SNAPSHOT && number.isPrivate !== isPrivate)
      this.#broken(MARKED_AS_IT_IS, page, `${site} takes ${number.text} for another kind`);
    const made = this.#made.get(number.key);
    // A scan meets what nobody ever named; a frame's number is the frame.
    if (made === undefined && (holder === IN_RAW_SCAN || !isPrivate)) return;
    if (made === undefined)
      this.#broken(LEADS_BACK, page, `${site} reads ${number.text}, which nobody made`);
    else if (made.page !== page && (page >= 0 || this.#inService(made.page)))
      this.#broken(
        LEADS_BACK,
        page,
        `${site} reads ${number.text}, which ${made.site} made of page ${made.page}`,
      );
  }

  /** A migration entry's type says that its number is a pfn; whose memory that is, only its struct page. */
  #toldBy(told: number, holder: number, lo: number, hi: number): number {
    if (this.#ownKind || told !== TOLD_BY_TYPE || holder !== IN_PAGE_TABLE) return told;
    return (lo & PTE_THERE) === 0 && this.#devices.numbers.isMigration(lo, hi)
      ? TOLD_BY_STRUCT
      : told;
  }

  /** Number and kind, as the bits say them. */
  #decode(holder: number, lo: number, hi: number, page: number): NumberOf {
    switch (holder) {
      case IN_PAGE_TABLE: {
        if ((lo & PTE_THERE) !== 0) return this.#number(false, ptePfn(lo, hi), 0);
        const marked = this.#ownKind && (isDevicePrivate(lo, hi) || isDeviceMigration(lo, hi));
        return this.#number(marked, swapOffset(lo, hi), deviceNumberHigh(hi));
      }
      case IN_MIGRATE_ARRAY: {
        const low = (lo >>> MIGRATE_PFN_SHIFT) | (hi << (32 - MIGRATE_PFN_SHIFT));
        return this.#number((lo & MIGRATE_PFN_DEVICE_PRIVATE) !== 0, low, hi >>> MIGRATE_PFN_SHIFT);
      }
      case IN_HMM_ARRAY: {
        const high = hi & ((1 << (HMM_PFN_ORDER_SHIFT - 32)) - 1);
        return this.#number((hi & HMM_PFN_DEVICE_PRIVATE) !== 0, lo, high);
      }
      case IN_SNAPSHOT:
        return this.#number(this.#ownKind && page >= this.#devices.firstPrivate, lo, hi);
      default:
        return this.#number(false, lo, hi);
    }
  }

  #number(isPrivate: boolean, low: number, high: number): NumberOf {
    const unsigned = low >>> 0;
    const text = isPrivate
      ? this.#kind === "tuple"
        ? `(space ${high}, index ${unsigned})`
        : `offset ${unsigned}`
      : `pfn ${unsigned}`;
    return { isPrivate, key: (high * 2 + (isPrivate ? 1 : 0)) * 2 ** 32 + unsigned, text };
  }

  #use(
    does: "makes" | "reads",
    holder: number,
    number: NumberOf,
    told: Told,
    page: number,
  ): string {
    const kind = number.isPrivate ? this.#kind : "pfn";
    const alike = `${does} ${holder} ${kind} ${told}`;
    const before = this.#alike.get(alike) ?? 0;
    this.#alike.set(alike, before + 1);
    const site = before < LOOKED_UP || before % SAMPLE === 0 ? caller() : NOT_LOOKED_UP;
    const key = `${site} ${alike}`;
    let use = this.#uses.get(key);
    if (use === undefined) {
      use = { site, does, holder: HOLDERS[holder], kind, told, times: 0, privates: 0 };
      this.#uses.set(key, use);
    }
    use.times++;
    if (page >= this.#devices.firstPrivate) use.privates++;
    return site;
  }

  #inService(page: number): boolean {
    const { zoneDevice, base } = this.#devices;
    return page < base.core.machine.deviceFirst || zoneDevice.refcountOf(page) > 0;
  }

  #broken(rule: string, page: number, detail: string): void {
    if (this.violations.length < VIOLATIONS_MAX)
      this.violations.push(new RuleViolation(rule, page, detail));
  }
}

/** Whether a page-table entry is a migration entry of a type that only device pages have. */
function isDeviceMigration(lo: number, hi: number): boolean {
  const type = swapType(hi);
  return (
    (lo & PTE_THERE) === 0 &&
    type >= SWP_DEVICE_MIGRATION_READ &&
    type <= SWP_DEVICE_MIGRATION_WRITE
  );
}

/** Deeper than any chain of helpers. */
const FRAMES = 10;

/**
 * The function that asked for the conversion. The frames are looked at as they are:
 * turned into text they would cost more than all the rest of a checked run.
 */
function caller(): string {
  const { stackTraceLimit, prepareStackTrace } = Error;
  Error.stackTraceLimit = FRAMES;
  let site = "outside";
  Error.prepareStackTrace = (_error, frames) => {
    const found = frames.find((f) => !HELPERS.has(`${f.getTypeName()}`) && !HELPERS.has(nameOf(f)));
    if (found !== undefined) site = siteOf(found);
    return "";
  };
  void new Error("who converts").stack;
  Error.prepareStackTrace = prepareStackTrace;
  Error.stackTraceLimit = stackTraceLimit;
  return site;
}

const nameOf = (frame: NodeJS.CallSite): string => frame.getFunctionName() ?? "a function";

/** `process/zap.ts Zap.#absent`. */
function siteOf(frame: NodeJS.CallSite): string {
  const [, file] = FILE.exec(frame.getFileName() ?? "") ?? [];
  if (file === undefined) return "outside";
  const type = frame.getTypeName();
  const name = nameOf(frame);
  return type === null || type === "Object" ? `${file}.ts ${name}` : `${file}.ts ${type}.${name}`;
}
