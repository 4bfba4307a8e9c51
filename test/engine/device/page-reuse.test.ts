/**
 * Device memory that comes back at another order than it went, with the metadata reset of
 * January 2026 and without: what an earlier folio leaves in its pages, and who falls for it.
 *
 * Facts: device-facts §1.5 (zone_device_page_init).
 */
import { describe, expect, test } from "vitest";
import { PG_LOCKED } from "../../../src/engine/design/word/axis-flags.js";
import { inspectDevices } from "../../../src/engine/sanitizer/device/sanitizer.js";
import { LEGAL } from "../drivers/designs.js";
import { held, HUGE, mapOf, PRIVATE, scene, wrong, type Scene } from "./pagemap-scene.js";

const rulesOf = (s: Scene, ...pages: number[]): string[] =>
  inspectDevices(s.devices, held(...pages)).map((v) => v.rule);

describe("memory that comes back at another order", () => {
  test.each(LEGAL.filter((_, i) => i % 3 === 0))(
    "%s: nothing is left of the order before",
    (design) => {
      const s = scene(design);
      const { devices } = s;
      const map = mapOf(s, PRIVATE);
      for (const orders of [[9], [0, 0, 1, 2, 3, 0], [9], [4, 4, 0, 5], [3, 9]]) {
        const pages: number[] = [];
        let at = 0;
        for (const order of orders) {
          at = Math.ceil(at / 2 ** order) * 2 ** order;
          if (at + 2 ** order > map.pages) continue;
          const page = devices.activate(map, at, order);
          expect(page).toBe(map.first + at);
          expect(devices.record.orderOf(page)).toBe(order);
          pages.push(page);
          at += 2 ** order;
        }
        expect(wrong(s, held(...pages))).toEqual([]);
        expect(map.inService).toBe(
          pages.reduce((sum, p) => sum + 2 ** devices.record.orderOf(p), 0),
        );
        for (const page of pages) devices.release(page);
        expect([map.inService, map.refs]).toEqual([0, 1]);
      }
    },
  );

  /** A folio of 512 pages that came and went. */
  function used(): { s: Scene; map: ReturnType<typeof mapOf>; head: number } {
    const s = scene("today+init-reset=off");
    const map = mapOf(s, PRIVATE);
    const head = s.devices.activate(map, 0, 9);
    s.devices.release(head);
    expect(wrong(s)).toEqual([]);
    return { s, map, head };
  }

  test("init-reset=off, a former tail by itself: page_folio leads to the old head, whose count goes below zero", () => {
    const { s, map, head } = used();
    const { devices } = s;
    const page = devices.activate(map, 3, 0);
    expect(page).toBe(head + 3);
    const { record, folios } = devices.zoneDevice.of(page);
    // The page counts 1, its folio is the old head, which counts 0 and has the lock.
    expect(record.folioOf(page)).toBe(record.rowRef(head));
    expect(folios.refcount(record.rowRef(page))).toBe(1);
    expect(folios.refcount(record.folioOf(page))).toBe(0);
    expect(folios.flags(record.rowRef(head)) & PG_LOCKED).not.toBe(0);
    expect(folios.flags(record.rowRef(page)) & PG_LOCKED).toBe(0);
    devices.release(page);
    expect(folios.refcount(record.rowRef(head))).toBe(-1);
    expect(folios.refcount(record.rowRef(page))).toBe(1);
    expect(wrong(s)).toContainEqual(expect.stringContaining("references stay above zero"));
    // The driver never hears of it, and its map's reference never falls: the unload hangs.
    expect(s.told).toEqual([`1: ${head}, 9`]);
    expect(map.refs).toBe(2);
  });

  test("init-reset=off, a former head by itself: it is 512 pages still, and takes 511 references too many with it", () => {
    const { s, map, head } = used();
    const { devices } = s;
    const page = devices.activate(map, 0, 0);
    expect(devices.record.orderOf(page)).toBe(9);
    expect([map.refs, map.inService]).toEqual([2, 1]);
    devices.release(page);
    expect(s.told).toEqual([`1: ${head}, 9`, `1: ${head}, 9`]);
    expect([map.refs, map.inService]).toEqual([2 - HUGE, 1 - HUGE]);
    expect(rulesOf(s)).toContain("map references add up");
  });

  test("init-reset=off at an order that is no smaller, or off for good: nothing shows", () => {
    const { s, map, head } = used();
    const again = s.devices.activate(map, 0, 9);
    expect(again).toBe(head);
    expect(wrong(s, held(again))).toEqual([]);
    s.devices.release(again);
    expect(map.refs).toBe(1);
    const on = scene("today");
    const other = mapOf(on, PRIVATE);
    on.devices.release(on.devices.activate(other, 0, 9));
    const tail = on.devices.activate(other, 3, 0);
    const front = on.devices.activate(other, 0, 0);
    expect(wrong(on, held(tail, front))).toEqual([]);
    for (const page of [tail, front]) on.devices.release(page);
    expect(other.refs).toBe(1);
  });
});
