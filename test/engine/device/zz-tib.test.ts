import { expect, it } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import { Devices } from "../../../src/engine/device/devices.js";
import { MEMORY_DEVICE_GENERIC, MEMORY_DEVICE_PRIVATE } from "../../../src/engine/device/kinds.js";
import { SparseWords } from "../../../src/engine/words/sparse.js";
import { inspectKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
const W = ["today","page32","memdesc16","memdesc8","slot64"];
it.each(W)("%s 1 TiB", (d) => {
  const t0 = performance.now();
  const words = new SparseWords();
  const kernel = Kernel.boot({ memory: "64MiB", device: { private: 0, span: "1TiB" } }, parseDesign(d + "+device-lifetime=request+activation=request"), () => words);
  const devices = Devices.attach(kernel);
  const t1 = performance.now();
  const map = devices.mapPages({ name: "dax", type: MEMORY_DEVICE_GENERIC, ranges: [{ start: kernel.machine.deviceFirst, pages: 2 ** 28 }], folioOrder: 9 });
  const t2 = performance.now();
  console.log(d, "boot", t1 - t0, "map", t2 - t1, "frames", kernel.machine.deviceArea?.frames, "held", words.bytesHeld());
  for (let i = 0; i < 20; i++) expect(devices.activate(map, (2**28 - 512 * (i * 77 + 1)), 9)).toBeGreaterThan(0);
  const t3 = performance.now();
  console.log("request 20", t3 - t2, kernel.machine.deviceArea?.frames, words.bytesHeld());
  const held = Array.from({length: 20}, (_, i) => ({ pfn: map.pageAt(2**28 - 512 * (i * 77 + 1)), refs: 1, pins: 0, who: "vm" }));
  const bad = inspectKernel(kernel, { folios: held });
  console.log("inspect", performance.now() - t3, bad.slice(0, 3).map((b) => b.message));
  for (const h of held) devices.release(h.pfn);
  devices.pagemaps.unmap(map);
  console.log(kernel.machine.deviceArea?.frames);
});
it.each(W)("%s 1 TiB private", (d) => {
  for (const n of ["physical", "offset", "tuple"]) for (const r of ["page", "folio", "device-private"]) {
    let design;
    try { design = parseDesign(d + `+device-lifetime=request+activation=request+device-name=${n}+device-record=${r}`); } catch { continue; }
    const t0 = performance.now();
    const words = new SparseWords();
    try {
    const kernel = Kernel.boot({ memory: "64MiB", device: { private: "1TiB", span: 0 } }, design, () => words);
    const devices = Devices.attach(kernel);
    const map = devices.mapPages({ name: "gpu", type: MEMORY_DEVICE_PRIVATE, pages: 2 ** 28, owner: {}, ops: { folioFree: () => {}, migrateToRam: () => 0 } });
    const p = devices.activate(map, 2 ** 28 - 512, 9);
    console.log(d, n, r, performance.now() - t0, p, kernel.machine.deviceArea?.frames, words.bytesHeld());
    } catch (e) { console.log(d, n, r, String(e)); }
  }
});
