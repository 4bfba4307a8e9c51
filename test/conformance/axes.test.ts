/**
 * The designs that conformance is shown on: all that can be, and few that cover
 * every pair of choices.
 */
import { describe, expect, it } from "vitest";
import { combinationsOf } from "../../src/engine/design/axes.js";
import { coveringArray } from "../../src/engine/design/covering.js";
import { deviceAxes, deviceProduct } from "../../src/engine/design/device-axes.js";
import { DEVICE_AXES } from "../../src/engine/design/device-rules.js";
import { parseDesign } from "../../src/engine/design/presets.js";

const { axes, legal, refused } = deviceProduct();

describe("designs of device memory", () => {
  it("are legal or refused with a reason, and none is left out", () => {
    const refusals = refused.reduce((sum, { combinations }) => sum + combinations, 0);
    expect(legal.length + refusals).toBe(combinationsOf(axes));
    expect(refused.every(({ reason }) => reason.length > 20)).toBe(true);
  });

  it("are all different, and what their text says", () => {
    const names = legal.map(({ design }) => design.name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(parseDesign(name).name).toBe(name);
  });

  it("have the five words, each with every name, record, lifetime and activation that there can be", () => {
    const pages = new Map<string, Set<string>>();
    for (const { values } of legal) {
      const page = values.slice(0, 4).join(" ");
      const device = values.slice(4, 8).join(" ");
      pages.set(page, (pages.get(page) ?? new Set<string>()).add(device));
    }
    expect(new Set(legal.map(({ design }) => design.word)).size).toBe(5);
    expect(pages.size).toBe(15);
    expect([...pages.values()].map((devices) => devices.size)).toEqual(Array(15).fill(29));
  });

  it("have every axis of device memory but peers", () => {
    const names = new Set(deviceAxes().map(({ name }) => name));
    for (const { axis } of DEVICE_AXES) expect(names.has(axis)).toBe(axis !== "peer");
  });

  it("are covered by few in which every pair of choices comes up that goes together", () => {
    const pairs = (values: readonly string[]): string[] =>
      values.flatMap((a, i) => values.slice(i + 1).map((b, j) => `${i} ${a} ${i + 1 + j} ${b}`));
    const covering = coveringArray(legal);
    const covered = new Set(covering.flatMap(({ values }) => pairs(values)));
    expect(covering.length).toBeLessThan(40);
    const missing = legal.flatMap(({ values }) => pairs(values)).filter((p) => !covered.has(p));
    expect(missing).toEqual([]);
  });
});
