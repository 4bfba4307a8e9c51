/**
 * Page types and the type tables that number them.
 *
 * The engine has one numbering of its own, that of the newest readable revision
 * (2025) of the Memdescs page. How a design writes a type into a page is its
 * table's business: three revisions exist, the 32-byte stage has one of its own,
 * and a type that a table does not know is no type of that design.
 * Facts: memdesc-facts §1.2, §1.3, §3.1.
 */

/** Number of a page type inside the engine: the 2025 numbering. */
export type PageType = number & { readonly pageType: true };

export const T_MISC = 0 as PageType;
export const T_BUDDY = 1 as PageType;
export const T_FILE = 2 as PageType;
export const T_ANON = 3 as PageType;
export const T_KSM = 4 as PageType;
export const T_SLAB = 5 as PageType;
export const T_BUMP = 6 as PageType;
export const T_MOVABLE = 7 as PageType;
export const T_PGTABLE = 8 as PageType;
export const T_HWPOISON = 9 as PageType;
export const T_PERCPU = 10 as PageType;
export const T_ACCTMEM = 11 as PageType;
export const T_ZPDESC = 12 as PageType;
export const T_MANAGED = 13 as PageType;
/** An anonymous page that is exclusive, where a type is spent on that bit (unassigned in the wiki). */
export const T_ANON_EXCLUSIVE = 14 as PageType;
/** A page of scattered memory whose word leads to the object (VmallocMappable of early 2024, unassigned since). */
export const T_SCATTERED = 15 as PageType;

export const TYPE_NAMES = [
  "misc",
  "buddy",
  "file",
  "anon",
  "ksm",
  "slab",
  "bump",
  "movable",
  "page-table",
  "hwpoison",
  "percpu",
  "acctmem",
  "zpdesc",
  "managed",
  "anon-exclusive",
  "scattered",
] as const;
/** Name of a page type; which number it has in a page is its table's business. */
export type TypeName = (typeof TYPE_NAMES)[number];

/** True for the types whose descriptor is a folio: the ones with reference and map counts. */
export const isFolioType = (type: PageType): boolean =>
  type === T_FILE || type === T_ANON || type === T_KSM || type === T_ANON_EXCLUSIVE;

/** Subtypes of Misc, bits 4–10. */
export const MISC_RESERVED = 0;
export const MISC_ZERO = 1;
export const MISC_UNKNOWN = 2;
export const MISC_VMALLOC = 3;
export const MISC_GUARD = 4;
export const MISC_OFFLINE = 5;
export const MISC_KMALLOC_LARGE = 6;
export const MISC_NAMES = [
  "reserved",
  "zero",
  "unknown",
  "vmalloc",
  "guard",
  "offline",
  "kmalloc-large",
  "exact",
  "brd",
];

/** How one revision writes types into the low four bits of a word. */
export interface TypeTable {
  readonly name: string;
  readonly source: string;
  /** Code of each page type; −1 where the revision has no such type. */
  readonly code: Int8Array;
  /** Page type of each of the 16 codes; −1 for unassigned. */
  readonly type: Int8Array;
  /** Codes that all mean the same: what low bits a list pointer may have. */
  readonly aliases: readonly number[];
}

function table(
  name: string,
  source: string,
  codes: Partial<Record<TypeName, number>>,
  aliases: readonly number[] = [],
): TypeTable {
  const code = new Int8Array(TYPE_NAMES.length).fill(-1);
  const type = new Int8Array(16).fill(-1);
  for (const [i, typeName] of TYPE_NAMES.entries()) {
    const c = codes[typeName];
    if (c === undefined) continue;
    code[i] = c;
    if (type[c] < 0) type[c] = i;
  }
  for (const c of aliases) type[c] = T_BUDDY;
  return { name, source, code, type, aliases };
}

/** Early 2024: type 0 is "none / reserved / guard"; what later became Misc lives there. 7 is VmallocMappable. */
export const TYPES_2024 = table("2024", "Memdescs wiki, early revision", {
  misc: 0,
  file: 1,
  anon: 2,
  ksm: 3,
  slab: 4,
  buddy: 5,
  movable: 6,
  scattered: 7,
  "page-table": 9,
  bump: 10,
  hwpoison: 11,
  "anon-exclusive": 14,
});

/** Later 2024: Misc with subtypes; no type yet for zsmalloc, accounted or managed memory. */
export const TYPES_2024B = table("2024b", "Memdescs wiki, later revision of 2024", {
  misc: 0,
  buddy: 1,
  file: 2,
  anon: 3,
  ksm: 4,
  slab: 5,
  movable: 6,
  "page-table": 7,
  bump: 8,
  hwpoison: 9,
  percpu: 10,
  "anon-exclusive": 14,
  scattered: 15,
});

/** The newest readable revision; the default. 14 and 15 are unassigned there and spent here on anon-exclusive and scattered memory. */
export const TYPES_2025 = table(
  "2025",
  "Memdescs wiki, newest readable revision (goals for 2025)",
  {
    misc: 0,
    buddy: 1,
    file: 2,
    anon: 3,
    ksm: 4,
    slab: 5,
    bump: 6,
    movable: 7,
    "page-table": 8,
    hwpoison: 9,
    percpu: 10,
    acctmem: 11,
    zpdesc: 12,
    managed: 13,
    "anon-exclusive": 14,
    scattered: 15,
  },
);

/**
 * The 32-byte stage: list pointers overlap the memdesc and are only 4-byte
 * aligned, so 0, 4, 8 and 12 all mean Buddy. 1–3 are published; the copy of the
 * page ends there, so the numbers from 5 on are invented.
 */
export const TYPES_PAGE32 = table(
  "page32",
  "Memdescs/Path, later 2025 (codes 1-3); codes from 5 on invented, the page's copy ends",
  {
    buddy: 0,
    misc: 1,
    file: 2,
    anon: 3,
    ksm: 5,
    slab: 6,
    bump: 7,
    movable: 9,
    "page-table": 10,
    hwpoison: 11,
    percpu: 13,
    acctmem: 14,
    zpdesc: 15,
  },
  [0, 4, 8, 12],
);
