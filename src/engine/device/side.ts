/**
 * The two sides of a migration: memory that the processor reads, described by the
 * machine's page words, and device-private memory, described by records.
 *
 * What moves pages between them asks both the same questions; a page's side is
 * told by its number alone, since places in the records lie behind all frames.
 */
import type { Ref } from "../../units.js";
import type { FolioFields } from "../process/folio-fields.js";
import type { MapCounts } from "../process/map-counts.js";

/** What the page words and the records of devices both answer. */
interface Describes {
  blockOf(page: number): number;
  orderOf(page: number): number;
  isExclusive(page: number): boolean;
  setExclusive(page: number, on: boolean): void;
}

export interface Side {
  readonly isPrivate: boolean;
  readonly folios: FolioFields;
  readonly counts: MapCounts;
  readonly pages: Describes;
  /** The folio that a page belongs to; 0 for none. */
  folioOf(page: number): Ref;
}
