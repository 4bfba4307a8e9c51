/**
 * fork while a device has the pages: both processes map them, read-only from then
 * on; whoever writes first brings them back to RAM for both, and only then copies.
 */
import {
  defineScenario,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  Mirror,
  MirrorDevice,
  PROT_READ,
  PROT_WRITE,
  snapshotName,
} from "memdesc";

const PAGE = 4096;
const PAGES = 4;

export default defineScenario({
  name: "device fork",
  about: "fork with pages in device memory: shared there, copied when somebody writes",
  machine: { memory: "64MiB", device: { private: "128MiB", span: "128MiB" } },

  run(s) {
    const { kernel, devices } = s;
    const device = new MirrorDevice(devices, { id: 0, kind: "private", chunkPages: 2048 });
    const parent = kernel.createProcess();
    const mirror = new Mirror(device, parent);
    const at = parent.mmap({
      length: PAGES * PAGE,
      prot: PROT_READ | PROT_WRITE,
      flags: MAP_PRIVATE | MAP_ANONYMOUS,
    });
    for (let i = 0; i < PAGES; i++) parent.write(at + i * PAGE, Uint8Array.of(10 + i));

    s.step("four pages move to the device", () => {
      const { error, cpages } = mirror.migrateToDevice(at, PAGES);
      s.expect("it says", error, 0);
      s.expect("pages there", cpages, PAGES);
    });
    const codes = (m: Mirror): string =>
      [...m.snapshot(at, PAGES).data].map(snapshotName).join(" ");
    s.note(`the device sees: ${codes(mirror)}`);
    const [map] = device.maps;
    s.expect("in service", map.inService, PAGES);

    const child = s.step("fork", () => parent.fork());
    s.note(`the device sees: ${codes(mirror)}`);
    s.expect("no page was copied", map.inService, PAGES);

    s.step("the child writes to the first page", () => child.write(at, Uint8Array.of(99)));
    s.expect("the first page left the device, for both", map.inService, PAGES - 1);
    s.expect("the child has what it wrote", child.read(at, 1)[0], 99);
    s.expect("the parent has what it had", parent.read(at, 1)[0], 10);
    s.note(`the device sees: ${codes(mirror)}`);

    s.step("the child ends", () => child.exit());
    s.step("the parent reads the rest", () => {
      for (let i = 1; i < PAGES; i++)
        s.expect(`page ${i}`, parent.read(at + i * PAGE, 1)[0], 10 + i);
    });
    s.expect("the device has nothing left", map.inService, 0);
    s.step("everybody goes", () => {
      mirror.close();
      device.removeChunks();
      parent.exit();
    });
  },
});
