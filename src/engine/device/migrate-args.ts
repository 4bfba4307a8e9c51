/**
 * What a driver asks of a migration: struct migrate_vma.
 *
 * `src` and `dst` are arrays of migrate pfns, two words an entry, with room for
 * the largest range that the driver asks for; they are the driver's and may be
 * used again.
 *
 * Source: include/linux/migrate.h of the mm tree of July 2026.
 */
import type { Ref } from "../../units.js";

/** Flag of migrate_vma: pages of RAM are collected, and holes. */
export const MIGRATE_VMA_SELECT_SYSTEM = 1 << 0;
/** Flag of migrate_vma: private pages of the owner are collected. */
export const MIGRATE_VMA_SELECT_DEVICE_PRIVATE = 1 << 1;
/** Flag of migrate_vma: coherent pages of the owner are collected. */
export const MIGRATE_VMA_SELECT_DEVICE_COHERENT = 1 << 2;
/** Flag of migrate_vma: huge pages are collected whole, else they are split. */
export const MIGRATE_VMA_SELECT_COMPOUND = 1 << 3;

export interface MigrateVmaArgs {
  /** The VMA, and the process that it belongs to, which is locked for reading. */
  vma: Ref;
  /** Page numbers: the first, and the one behind the last; trimmed to what was collected. */
  start: number;
  end: number;
  readonly src: Int32Array;
  readonly dst: Int32Array;
  /** MIGRATE_VMA_SELECT_… */
  flags: number;
  /** Owner of the page maps whose device pages are wanted; null for none. */
  owner: object | null;
  /** Page of the CPU fault that this is for; −1 for none. */
  faultPage: number;
  /** Entries of `src`, and pages that may be migrated. */
  npages: number;
  cpages: number;
}

/** What a driver sets of its arguments. */
export type MigrateVmaFields = Partial<
  Pick<MigrateVmaArgs, "vma" | "start" | "end" | "flags" | "owner" | "faultPage">
>;

/** Arguments with room for so many pages; what is left out is nothing, none, 0. */
export const migrateArgs = (pages: number, fields: MigrateVmaFields = {}): MigrateVmaArgs => ({
  vma: 0 as Ref,
  start: 0,
  end: 0,
  src: new Int32Array(pages * 2),
  dst: new Int32Array(pages * 2),
  flags: 0,
  owner: null,
  faultPage: -1,
  npages: 0,
  cpages: 0,
  ...fields,
});
