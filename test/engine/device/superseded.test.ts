/**
 * The superseded forms of the request, shown to be what they were dropped for.
 *
 * Facts: device-facts §1.2, §1.3.
 */
import { describe, expect, test } from "vitest";
import { IDLE_PAGES_ARE_NOT_TOUCHED } from "../../../src/engine/device/idle-words.js";
import {
  pfnToPgmapOffset,
  pgmapReleaseFolios,
  pgmapRequestFolios,
} from "../../../src/engine/device/superseded.js";
import { inspectDevices } from "../../../src/engine/sanitizer/device/sanitizer.js";
import { pfn } from "../../../src/units.js";
import { held, HUGE, mapOf, PRIVATE, scene, wrong, type Scene } from "./pagemap-scene.js";

const refsOf = (s: Scene, page: number): number => s.devices.zoneDevice.refcountOf(page);
const rulesOf = (s: Scene, ...pages: number[]): string[] =>
  inspectDevices(s.devices, held(...pages)).map((v) => v.rule);

describe("superseded forms", () => {
  test("pgmap_request_folios touches every idle page that it is asked for", () => {
    const s = scene("today+activation=request");
    const { devices } = s;
    const map = mapOf(s, PRIVATE);
    expect(pgmapRequestFolios(devices, map, map.first, 3)).toBe(true);
    expect([map.refs, map.inService]).toEqual([4, 3]);
    const found = inspectDevices(devices, held(map.first, map.first + 1, map.first + 2));
    expect(found.every((v) => v.rule === IDLE_PAGES_ARE_NOT_TOUCHED)).toBe(true);
    expect(found.map((v) => v.pfn - map.first)).toEqual([0, 0, 1, 2]);
    // What is in service already is no error there.
    expect(pgmapRequestFolios(devices, map, map.first, 1)).toBe(true);
    expect([refsOf(s, map.first), map.refs]).toEqual([2, 4]);
    pgmapReleaseFolios(devices, map.first, 1);
    // Another map's, and a dying one's, are.
    expect(pgmapRequestFolios(devices, map, map.first + HUGE - 1, 2)).toBe(false);
    pgmapReleaseFolios(devices, map.first, 3, false);
    expect([map.refs, map.inService]).toEqual([1, 0]);
    devices.pagemaps.kill(map);
    expect(pgmapRequestFolios(devices, map, map.first, 1)).toBe(false);
  });

  test("its release, as posted, puts the second folio again and never the third", () => {
    const s = scene("today+activation=request");
    const map = mapOf(s, PRIVATE);
    s.devices.watch = null;
    pgmapRequestFolios(s.devices, map, map.first, 3);
    wrong(s);
    pgmapReleaseFolios(s.devices, map.first, 3);
    const counts = [0, 1, 2].map((i) => {
      const { record, folios } = s.devices.zoneDevice.of(map.first);
      return folios.refcount(record.rowRef(map.first + i));
    });
    expect(counts).toEqual([0, -1, 1]);
    expect(wrong(s)).toContainEqual(expect.stringContaining("references stay above zero"));
    expect(map.refs).toBe(2);
  });

  test("folios of different orders are refused, once they were looked at", () => {
    const s = scene("today+activation=request");
    const map = mapOf(s, PRIVATE);
    s.devices.release(s.devices.activate(map, 8, 3));
    expect(pgmapRequestFolios(s.devices, map, map.first + 6, 3)).toBe(false);
    expect(rulesOf(s)).toContain(IDLE_PAGES_ARE_NOT_TOUCHED);
  });

  test("without a struct page for every idle page there is nothing to ask it for", () => {
    for (const design of [
      "today+activation=request+device-lifetime=request",
      "today+activation=request+device-lifetime=chunk",
      "memdesc8+activation=request",
      "device-tuple",
      "device-offset+device-record=folio+activation=request",
    ]) {
      const s = scene(design);
      const map = mapOf(s, PRIVATE);
      expect(() => pgmapRequestFolios(s.devices, map, map.first, 1)).toThrow("EOPNOTSUPP");
      expect(() => pgmapReleaseFolios(s.devices, map.first, 1)).toThrow("EOPNOTSUPP");
    }
  });

  test("pfn_to_pgmap_offset, where there are pfns", () => {
    const s = scene("today");
    const map = mapOf(s, PRIVATE);
    const { naming } = s.devices;
    if (naming.name !== "physical") throw new Error("no pfns");
    const first = map.range.start / 4096;
    expect(
      [0, 7, HUGE - 1, HUGE].map((i) => pfnToPgmapOffset(naming, map, pfn(first + i))),
    ).toEqual([0, 7, HUGE - 1, -1]);
    expect(pfnToPgmapOffset(naming, map, pfn(1))).toBe(-1);
  });
});
