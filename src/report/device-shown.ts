/**
 * Which rows of a device a compact view shows: names cost a few KiB and differ by
 * less, so where room is short one row of each record stands for all its names.
 */
import type { DeviceReport, DeviceRow } from "./model.js";

/** Rows by page words, in the order of the report. */
export function byWords(report: DeviceReport): readonly (readonly DeviceRow[])[] {
  const words = [...new Set(report.rows.map((row) => row.words))];
  return words.map((one) => report.rows.filter((row) => row.words === one));
}

/** The first row of each record. */
export function firstOfRecords(rows: readonly DeviceRow[]): readonly DeviceRow[] {
  return rows.filter((row) => firstOf(rows, row.record) === row);
}

/** The first row of one: every report has all records on all page words. */
export function firstOf(rows: readonly DeviceRow[], record: DeviceRow["record"]): DeviceRow {
  return rows.find((row) => row.record === record) ?? rows[0];
}

/** What a folio in service is. */
export const folioText = (report: DeviceReport): string =>
  `folios of ${report.order === 0 ? "4 KiB" : "2 MiB"}`;

/** `folio, device-private with name physical: why`, one for each reason. */
export function refusals({ refused }: DeviceReport): string[] {
  const reasons = [...new Set(refused.map(({ name, why }) => `with name ${name}: ${why}`))];
  return reasons.map((reason) => {
    const of = refused.filter(({ name, why }) => reason === `with name ${name}: ${why}`);
    return `${of.map(({ record }) => record).join(", ")} ${reason}`;
  });
}
