/**
 * Random walks over two processes, two GPUs and a NIC, on designs that cover every
 * pair of choices of device memory: contents equal, sanitizer silent, all references
 * back at the end.
 */
import { describe, expect, test } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { numbers } from "../../../src/engine/sanitizer/process/program.js";
import { DeviceWalk } from "../../../src/engine/sanitizer/device/walk.js";

const STEPS = 400;

const DESIGNS = [
  "today",
  "today+peer=alias",
  "device-offset+peer=alias",
  "device-tuple+peer=alias",
  "memdesc8+device-name=tuple+device-record=folio+activation=request+device-lifetime=request+peer=alias",
  "page32+device-name=offset+device-lifetime=chunk",
  "memdesc16+activation=request+device-lifetime=request+request-refs=page",
  "slot64+device-name=offset+device-record=device-private+activation=request+peer=alias",
];

describe.each(DESIGNS)("%s", (name) => {
  test.each([1, 2, 3])("walk %i", (seed) => {
    const walk = new DeviceWalk(parseDesign(name));
    let step = 0;
    for (const n of numbers(seed * 7919)) {
      walk.step(n);
      if (step % 20 === 19) expect(walk.check().map((v) => v.message)).toEqual([]);
      if (++step === STEPS) break;
    }
    expect(walk.check().map((v) => v.message)).toEqual([]);
    expect(walk.finish().map((v) => v.message)).toEqual([]);
  });
});
