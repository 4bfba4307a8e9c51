/**
 * What an administrator sets under /sys/kernel/mm: huge pages, fault-around.
 *
 * Defaults are those of 6.18 with CONFIG_TRANSPARENT_HUGEPAGE_MADVISE.
 */

/** Choices of transparent_hugepage/enabled and of each size below it. */
export type ThpChoice = "always" | "madvise" | "inherit" | "never";

/** Settings that a machine is booted with; each has its default in DEFAULT_POLICY. */
export interface Policy {
  /** transparent_hugepage/enabled. */
  readonly thp: "always" | "madvise" | "never";
  /** hugepages-<size>kB/enabled by order 1 … 9; what is missing is `never`, order 9 `inherit`. */
  readonly thpOrders: Readonly<Record<number, ThpChoice>>;
  /** transparent_hugepage/use_zero_page. */
  readonly useHugeZeroPage: boolean;
  /** fault_around_bytes in pages: a power of two; 1 for none. */
  readonly faultAroundPages: number;
  /** Order of the folios that the page cache makes where they fit (large folios of a file system). */
  readonly fileFolioOrder: number;
  /**
   * Whether the disk's file system has large folios (ext4 from 6.16 on, xfs): then
   * long writes and MADV_HUGEPAGE make them.
   */
  readonly largeFolios: boolean;
  /** Pages of readahead around a fault on a file (read_ahead_kb / 4). */
  readonly readaheadPages: number;
}

/** The defaults of 6.18 with CONFIG_TRANSPARENT_HUGEPAGE_MADVISE. */
export const DEFAULT_POLICY: Policy = {
  thp: "madvise",
  thpOrders: { 9: "inherit" },
  useHugeZeroPage: true,
  faultAroundPages: 16,
  fileFolioOrder: 0,
  largeFolios: false,
  readaheadPages: 32,
};
