/**
 * What a snapshot must show, page by page.
 */
import { snapshotName } from "../../src/engine/drivers/mirror/snapshot-codes.js";
import type { HmmBuffer, Test } from "../testing.js";

/** The codes of a snapshot, page by page. */
export function showsCodes(t: Test, buffer: HmmBuffer, must: readonly number[]): void {
  const codes = t.codes(buffer, must.length);
  for (const [i, code] of must.entries())
    if (codes[i] !== code)
      t.fail(`m[${i}] is ${snapshotName(codes[i])}, must be ${snapshotName(code)}`);
}

/** Every page the same code. */
export const showsEverywhere = (t: Test, buffer: HmmBuffer, pages: number, code: number): void =>
  showsCodes(
    t,
    buffer,
    Array.from({ length: pages }, () => code),
  );
