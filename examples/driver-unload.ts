/**
 * Unloading a driver while pages of its device are in use: killing the page map
 * refuses new pages at once, and the wait ends only when the last page came back.
 */
import {
  defineScenario,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  Mirror,
  MirrorDevice,
  PROT_READ,
  PROT_WRITE,
} from "memdesc";

const PAGE = 4096;
const PAGES = 8;

export default defineScenario({
  name: "driver unload",
  about: "a page map is killed, drained and taken away while a process uses its pages",
  machine: { memory: "64MiB", device: { private: "128MiB", span: "128MiB" } },

  run(s) {
    const { kernel, devices } = s;
    const device = new MirrorDevice(devices, { id: 0, kind: "private", chunkPages: 2048 });
    const p = kernel.createProcess();
    const mirror = new Mirror(device, p);
    const at = p.mmap({
      length: PAGES * PAGE,
      prot: PROT_READ | PROT_WRITE,
      flags: MAP_PRIVATE | MAP_ANONYMOUS,
    });
    for (let i = 0; i < PAGES; i++) p.write(at + i * PAGE, Uint8Array.of(i));
    s.step("eight pages move to the device", () => void mirror.migrateToDevice(at, PAGES));
    const [map] = device.maps;
    s.finding("references of the map", map.refs);

    s.step("the driver begins to go: its map is killed", () => devices.pagemaps.kill(map));
    s.expect("the map is", map.state, "dying");
    const asked = s.step("its device asks for a page all the same", () => {
      const page = device.alloc(false);
      // Who gets one gives it back at once.
      if (page >= 0) devices.release(page);
      return page;
    });
    if (asked < 0) s.expect("it is refused: the map is dying (ENXIO)", asked, -6);
    else {
      s.note("zone_device_page_init goes on, and warns:");
      for (const warning of devices.zoneDevice.warnings) s.note(warning);
    }

    s.threads("who unloads waits; the process ends, and its pages come back", {
      unload: () => devices.pagemaps.waitDrained(map),
      process: () => p.munmap(at, PAGES * PAGE),
    });
    s.expect("nothing of it is in service", map.inService, 0);
    s.step("the map and its records go", () => device.removeChunks());
    s.expect("the map is", map.state, "dead");
    s.step("the process ends", () => {
      mirror.close();
      p.exit();
    });
  },
});
