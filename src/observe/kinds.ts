/**
 * What a page can be, as far as a real machine shows it.
 *
 * The order is the order of every table. `kernel` is one honest kind for what
 * /proc cannot tell apart (kmalloc, vmalloc, stacks, per-CPU free pages, driver
 * pages); `uninitialised` frames were never given to the allocator; `metadata`
 * frames hold page structures or descriptors of the simulated machine (a source
 * never shows which frames those are); `absent` frames are holes.
 */
export const KINDS = [
  "free",
  "file",
  "shmem",
  "anon",
  "ksm",
  "hugetlb",
  "slab",
  "page-table",
  "reserved",
  "zero",
  "offline",
  "hwpoison",
  "kernel",
  "uninitialised",
  "metadata",
  "absent",
] as const;

/** One of {@link KINDS}. */
export type Kind = (typeof KINDS)[number];

/** The number of a kind in columns of typed arrays: its place in {@link KINDS}. */
export type KindId = number & { readonly kindId: true };

export const kindId = (kind: Kind): KindId => KINDS.indexOf(kind) as KindId;
export const kindOf = (id: number): Kind => {
  const kind = KINDS[id];
  if (kind === undefined) throw new RangeError(`no kind has the number ${id}`);
  return kind;
};
