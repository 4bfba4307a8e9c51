import { expect, it } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import { Devices } from "../../../src/engine/device/devices.js";
import { MEMORY_DEVICE_PRIVATE } from "../../../src/engine/device/kinds.js";
it.each(["today","page32","memdesc16","memdesc8","slot64"])("%s two maps", (d) => {
  const kernel = Kernel.boot({ memory: "16MiB", device: { private: "1GiB", span: "128MiB" } }, parseDesign(d));
  const devices = Devices.attach(kernel);
  const maps = [0,1,2,3].map((i) => devices.mapPages({ name: "m" + i, type: MEMORY_DEVICE_PRIVATE, pages: 512, owner: {}, ops: { migrateToRam: () => 0, folioFree: () => {} } }));
  for (const m of maps) {
    const page = devices.activate(m, 5, 0);
    console.log(d, m.words, page, devices.pagemaps.ofPage(page)?.name, devices.zoneDevice.refcountOf(page));
    devices.release(page);
    console.log(m.inService, m.refs);
  }
});
