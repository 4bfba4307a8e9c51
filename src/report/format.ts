/**
 * How numbers look in every view of a report.
 *
 * One place, so that the terminal, the HTML page and the error texts never
 * print the same figure two ways. A minus is U+2212, as wide as a digit, so
 * that columns of changes line up; an absent figure is an en dash.
 */
import { formatBytes, formatCount } from "../units.js";

/** What stands where there is no figure. */
export const NONE = "–";

/** A share 0 … 1 as a percentage with two decimals: `1.56 %`. */
export function formatShare(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}

/** A change in bytes with its sign: `−305 MiB`, `+1.20 GiB`, `0 B`. */
export function formatChange(bytes: number): string {
  return bytes > 0 ? `+${formatBytes(bytes)}` : formatBytes(bytes);
}

/** A mean order with two decimals, or a dash where the kind has no objects. */
export function formatMean(order: number | null): string {
  return order === null ? NONE : order.toFixed(2);
}

/** A count, or a dash for null. */
export function formatOptional(count: number | null): string {
  return count === null ? NONE : formatCount(count);
}

/**
 * A number in the unit of a reconciliation or arithmetic row. Counts are exact;
 * bytes are exact too, because a residue of one page in a gigabyte is the point.
 */
export function formatExact(value: number, unit: string): string {
  switch (unit) {
    case "share":
      return formatShare(value);
    case "bytes":
      return `${formatCount(value)} B`;
    case "order":
      return `order ${formatCount(value)}`;
    default:
      return `${formatCount(value)} ${unit}`;
  }
}

/** `1 node`, `2 nodes`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}
