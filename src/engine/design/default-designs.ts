/**
 * The five designs that a report compares unless told otherwise, by name only:
 * what the command line needs to know of designs before it builds any.
 */
export const DEFAULT_DESIGNS: readonly string[] = [
  "today",
  "page32",
  "memdesc16",
  "memdesc8",
  "slot64",
];
