/**
 * What a device costs: bytes that the page allocator of a machine really gave, the
 * same whatever way they are added up, and multiplied for large devices so that
 * building them whole would say the same.
 */
import { describe, expect, it } from "vitest";
import { DEFAULT_DESIGNS, parseDesign } from "../../src/engine/design/presets.js";
import {
  DEVICE_LIFETIMES,
  DEVICE_NAMES,
  DEVICE_RECORDS,
  type DeviceNameChoice,
  type DeviceRecordChoice,
} from "../../src/engine/design/device-rules.js";
import { Devices } from "../../src/engine/device/devices.js";
import { MEMORY_DEVICE_PRIVATE } from "../../src/engine/device/kinds.js";
import { Kernel } from "../../src/engine/process/kernel.js";
import {
  buildDevice,
  measureDevice,
  pageWordsOf,
  type DeviceResult,
} from "../../src/report/build-device.js";

const PAGE = 4096;
const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const GIB_PAGES = GIB / PAGE;
const SMALL = 16 * 512;

const rowOf = (result: DeviceResult, name: DeviceNameChoice, record: DeviceRecordChoice) => {
  const row = result.rows.find((one) => one.name === name && one.record === record);
  if (row === undefined) throw new Error(`no row for ${name} and ${record}`);
  return row;
};

describe("a device in today's kernel", () => {
  it("takes 16 MiB for each GiB, in service or not, and a page for its dev_pagemap", () => {
    const asked = { pages: 80 * GIB_PAGES, order: 0 };
    const row = rowOf(buildDevice("today", asked, ["physical"]), "physical", "page");
    expect(row.inService).toBe(80 * 16 * MIB + PAGE);
    expect(row.perGiB).toBe(16 * MIB + PAGE / 80);
    expect(row.idle).toEqual({ static: row.inService, chunk: PAGE, request: PAGE });
    expect(row.parts.map(({ what, objects, size }) => [what, objects, size])).toEqual([
      ["records", 80 * GIB_PAGES, 64],
      ["dev_pagemap", 1, 160],
    ]);
  });
});

describe.each(DEFAULT_DESIGNS)("a device on page words of %s", (words) => {
  it.each([
    ["single pages", 0],
    ["huge pages", 9],
  ])("is what its parts are, under every name and record that there is: %s", (_name, order) => {
    const result = buildDevice(words, { pages: SMALL, order });
    const places = result.rows.map(({ name, record }) => `${name} ${record}`);
    const refused = result.refused.map(({ name, record }) => `${name} ${record}`);
    expect([...places, ...refused].toSorted()).toEqual(
      DEVICE_NAMES.flatMap((name) => DEVICE_RECORDS.map((r) => `${name} ${r}`)).toSorted(),
    );
    expect(refused).toEqual(["physical folio", "physical device-private"]);
    for (const { why } of result.refused)
      expect(why).toBe("a pfn leads to a struct page, which there is none of");
    for (const row of result.rows) {
      const sum = (field: "idle" | "bytes"): number =>
        row.parts.reduce((total, part) => total + part[field], 0);
      expect(row.inService).toBe(sum("bytes"));
      expect(row.idle.static).toBe(sum("idle"));
      for (const { what, objects, size, bytes } of row.parts) {
        expect([what, bytes % PAGE]).toEqual([what, 0]);
        expect(bytes).toBeGreaterThanOrEqual(objects * size);
      }
      expect(row.band !== null).toBe(row.parts.some((part) => part.assumed));
    }
  });

  it("has its name for a page or two, whatever the size of the device", () => {
    const { rows } = buildDevice(words, { pages: 512, order: 0 });
    const large = buildDevice(words, { pages: SMALL, order: 0 }).rows;
    for (const [i, { name, idle }] of rows.entries()) {
      expect([name, idle.chunk, idle.request]).toEqual([
        name,
        large[i].idle.chunk,
        large[i].idle.request,
      ]);
      expect(idle.chunk).toBe(idle.request);
      // dev_pagemap, the root of a tree or a row of a table, and what describes their slabs.
      expect(idle.chunk).toBeLessThanOrEqual(3 * PAGE);
    }
    const ofName = (name: DeviceNameChoice): number =>
      rowOf({ rows, refused: [], arithmetic: [] }, name, "page").idle.chunk;
    expect(ofName("offset")).toBe(ofName("physical") + PAGE);
    expect(ofName("tuple")).toBe(ofName("physical") + PAGE);
  });

  it("has the same records of a device-private page as on any other page words", () => {
    const asked = { pages: SMALL, order: 0 };
    const row = rowOf(buildDevice(words, asked), "tuple", "device-private");
    const today = rowOf(buildDevice("today", asked), "tuple", "device-private");
    // But for the slab that describes the dev_pagemap's slab.
    expect(Math.abs(row.inService - today.inService)).toBeLessThanOrEqual(PAGE);
  });

  it.each(DEVICE_RECORDS)(
    "costs the same in use in every lifetime of its records: %s",
    (record) => {
      const of = { words, name: "tuple", record } as const;
      const [first, ...others] = DEVICE_LIFETIMES.map((lifetime) => {
        const { parts } = measureDevice(of, lifetime, { pages: SMALL, order: 0 });
        return parts.map(({ what, frames }) => [what, frames]);
      });
      for (const other of others) expect(other).toEqual(first);
    },
  );
});

describe.each(DEVICE_LIFETIMES)(
  "a device that was used and is idle again, lifetime %s",
  (lifetime) => {
    it("has given back its records only where they live from request to request", () => {
      const choices = "device-name=tuple+device-record=device-private+activation=request";
      const design = parseDesign(`today+${choices}+device-lifetime=${lifetime}`);
      const kernel = Kernel.boot({ memory: "32MiB", device: { private: SMALL * PAGE } }, design);
      const devices = Devices.attach(kernel);
      const free = kernel.settle();
      const ops = { folioFree: () => undefined, migrateToRam: () => 0 };
      const map = devices.mapPages({
        name: "gpu",
        type: MEMORY_DEVICE_PRIVATE,
        pages: SMALL,
        owner: {},
        ops,
      });
      for (let at = 0; at < SMALL; at++) devices.release(devices.activate(map, at, 0));
      const { idle } = rowOf(
        buildDevice("today", { pages: SMALL, order: 0 }),
        "tuple",
        "device-private",
      );
      // What the docs say of each: chunks that were used stay.
      const expected = lifetime === "request" ? idle.request : idle.static;
      expect((free - kernel.settle()) * PAGE).toBe(expected);
    });
  },
);

describe("a device beyond a GiB", () => {
  it.each([
    ["today", "offset", "folio", 0],
    ["today", "tuple", "device-private", 9],
    ["memdesc8", "physical", "page", 0],
    ["slot64", "tuple", "folio", 9],
  ] as const)(
    "%s %s %s of order %i: what is multiplied is what two GiB built whole take",
    (words, name, record, order) => {
      const pages = 2 * GIB_PAGES;
      const multiplied = rowOf(buildDevice(words, { pages, order }, [name]), name, record);
      const whole = measureDevice({ words, name, record }, "static", { pages, order });
      expect(multiplied.parts.map(({ what }) => what)).toEqual(whole.parts.map(({ what }) => what));
      for (const [i, part] of whole.parts.entries()) {
        // Slabs of slab descriptors are counted for two GiB that were filled one by one.
        const apart = Math.abs(multiplied.parts[i].bytes / PAGE - part.frames);
        expect([part.what, apart]).toEqual([part.what, part.what.startsWith("slab") ? apart : 0]);
        expect(apart).toBeLessThanOrEqual(1);
        expect(multiplied.parts[i].idle).toBe(part.idleFrames * PAGE);
      }
    },
  );

  it("says in its sums what was multiplied, also where it is no whole number of GiB", () => {
    const sums = (pages: number): string[] =>
      buildDevice("today", { pages, order: 9 }, ["offset"]).arithmetic.map(({ sum }) => sum);
    expect(sums(80 * GIB_PAGES)).toContain(
      "records 262,144 × 80 × 64 B in 327,680 frames + dev_pagemap 1 × 160 B in 1 frame + maple_node 1 × 256 B in 1 frame = 327,682 × 4,096 B",
    );
    expect(sums(1.5 * GIB_PAGES).join()).toContain(
      "records 262,144 × 393,216/262,144 × 64 B in 6,144 frames",
    );
    expect(sums(SMALL).join()).toContain(`records 8,192 × 64 B in ${(SMALL * 64) / PAGE} frames`);
  });

  it("has a line for each figure, whose value the sum ends with", () => {
    const { rows, arithmetic } = buildDevice("memdesc8", { pages: 3 * GIB_PAGES, order: 9 }, [
      "tuple",
    ]);
    const values = rows.flatMap(({ idle, inService }) => [
      idle.static,
      idle.chunk,
      idle.request,
      inService,
    ]);
    expect(arithmetic.map(({ value }) => value)).toEqual(values);
    for (const { sum, value } of arithmetic) {
      const frames = Number(/([\d,]+) × 4,096 B$/.exec(sum)?.[1].replaceAll(",", ""));
      expect(frames * PAGE).toBe(value);
    }
  });

  it("shows what a size that nobody published would make of it", () => {
    const { rows } = buildDevice("today", { pages: 2 * GIB_PAGES, order: 9 }, ["tuple"]);
    const row = rowOf({ rows, refused: [], arithmetic: [] }, "tuple", "device-private");
    const records = 48 * 2 * GIB_PAGES;
    expect(row.band).toEqual(
      [64, 80, 96, 128].map((size) => ({
        size,
        total: row.inService - records + size * 2 * GIB_PAGES,
      })),
    );
    expect(row.inService - records).toBe(8 * KIB);
  });
});

describe("page words of a design", () => {
  it.each([
    ["today", "today"],
    ["device-offset", "today"],
    ["device-tuple+separated=all", "today+separated=all"],
    [
      "memdesc8+activation=request+device-lifetime=request+free-pointer=outside",
      "memdesc8+free-pointer=outside",
    ],
  ])("of %s are those of %s", (design, words) => {
    expect(pageWordsOf(design)).toBe(words);
  });
});
