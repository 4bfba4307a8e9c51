/**
 * Everything about one page as data: what `memdesc page` prints and what its
 * `--json` is. Addresses and 64-bit values are hexadecimal strings (`0x…`),
 * because JSON numbers do not hold 64 bits.
 */
import type { Kind } from "../observe/kinds.js";

export interface PageReport {
  readonly schema: "memdesc/page/1";
  /** Where the page was read from. */
  readonly source: string;
  readonly pfn: number;
  readonly kind: Kind;
  /** Names of the set bits of kpageflags, ascending; an unknown bit is `bit N`. */
  readonly flags: readonly string[];
  /** The kpageflags word, 16 hexadecimal digits. */
  readonly flagsWord: string;
  /** kpagecount; null where the source does not have the file. */
  readonly mapcount: number | null;
  /** Inode of the memory cgroup that is charged, 0 for none; null without kpagecgroup. */
  readonly cgroup: number | null;
  /** Name of the zone, null in a hole. */
  readonly zone: string | null;
  readonly node: number | null;
  /** What the page is part of; null where its kind has no objects. */
  readonly object: PageObject | null;
  readonly designs: readonly PageInDesign[];
  /** What could not be known, by name. */
  readonly notes: readonly { readonly subject: string; readonly text: string }[];
}

export interface PageObject {
  /** First frame. */
  readonly start: number;
  readonly pages: number;
  /** log2(pages); null where pages is no power of two (a torn read). */
  readonly order: number | null;
}

export interface PageInDesign {
  /** Canonical name of the design. */
  readonly design: string;
  /** What the frame itself carries, word by word. */
  readonly words: readonly PageWord[];
  /** The object that the words point at, where there is one. */
  readonly descriptor: PageDescriptor | null;
  readonly answers: readonly { readonly question: string; readonly answer: string }[];
  /** What the design cannot say about this page, and why. */
  readonly refused: readonly { readonly question: string; readonly reason: string }[];
}

export interface PageWord {
  /** Address in the simulated machine. */
  readonly address: string;
  readonly value: string;
  readonly fields: readonly PageField[];
}

export interface PageField {
  readonly name: string;
  /** Lowest bit of the field, counted from bit 0 of its word or descriptor. */
  readonly offset: number;
  /** Bits. */
  readonly width: number;
  /** Hexadecimal or decimal, as the field is usually written. */
  readonly value: string;
  /** What the value says, empty where the value says it all. */
  readonly meaning: string;
}

export interface PageDescriptor {
  readonly type: string;
  readonly address: string;
  /** Bytes. */
  readonly size: number;
  readonly fields: readonly PageField[];
}
