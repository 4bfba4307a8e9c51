/**
 * Small bars of eighth blocks (U+2588 … U+258F), as wide as their share.
 *
 * A share that is not zero shows at least the thinnest block: on a machine
 * with a terabyte of file pages, twelve hardware-poisoned ones must be seen.
 */
const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"] as const;

/** A bar for a share 0 … 1 that is `cells` columns wide at 1. */
export function bar(share: number, cells: number): string {
  if (!(share > 0)) return "";
  const eighths = Math.min(cells * 8, Math.max(1, Math.round(share * cells * 8)));
  return "█".repeat(eighths >> 3) + EIGHTHS[eighths & 7];
}
