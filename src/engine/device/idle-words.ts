/**
 * The word that an idle page has for its driver: what free lists inside the pages are
 * made of (test_hmm, nouveau).
 *
 * Under `init` the pages of a map exist and their owner may write to them; where records
 * come in chunks, touching one brings its chunk, so that a list through all pages brings
 * all of them. Under `request` idle pages are out of bounds: every touch is reported and
 * refused. And it takes a page with a word to spare, which not every design leaves.
 *
 * Facts: device-facts §1.3 ("nobody may read any field of an idle page"), §6 (what
 * changes per user).
 */
import { keepsPrivate } from "../design/word/axis.js";
import { ERRNO, MmError, RuleViolation } from "../errors.js";
import type { Ref } from "../../units.js";
import type { DevPagemap } from "./pagemap.js";
import type { ZoneDevice } from "./zone-device.js";

/** Name of the rule that `request` makes. */
export const IDLE_PAGES_ARE_NOT_TOUCHED = "idle pages are not touched";

/** A word for each page of a map, by offset. */
export interface IdleWords {
  load(offset: number): number;
  store(offset: number, value: number): void;
}

/**
 * The words of a map's idle pages. Throws MmError (EOPNOTSUPP) where pages have none,
 * and from every access RuleViolation where pages are requested, MmError (ENOMEM) where
 * there is no memory for a chunk of records.
 */
export function idleWords(
  devices: { readonly zoneDevice: ZoneDevice },
  map: DevPagemap,
): IdleWords {
  const { zoneDevice } = devices;
  const { design } = zoneDevice.base.core;
  const { record } = zoneDevice.of(map.first);
  const asked = `keep a list in the idle pages of ${map.name}`;
  if (record.name !== "page" || !keepsPrivate(design))
    throw new MmError(ERRNO.EOPNOTSUPP, asked, `${record.summary} has no word for an idle page`);
  const page = (offset: number): number => {
    const at = map.pageAt(offset);
    if (at < 0) throw new RangeError(`${map.name} has no page at offset ${offset}`);
    zoneDevice.look(at, "a list in idle pages");
    if (zoneDevice.choice.activation === "request" && zoneDevice.refcountOf(at) === 0)
      throw new RuleViolation(IDLE_PAGES_ARE_NOT_TOUCHED, at, `${map.name}: nobody requested it`);
    if (!zoneDevice.rows.ensure(map, at))
      throw new MmError(ERRNO.ENOMEM, asked, "no memory for its records");
    return at;
  };
  return {
    load: (offset) => design.privateOf(page(offset)),
    store: (offset, value) => design.setPrivate(page(offset), value as Ref),
  };
}
