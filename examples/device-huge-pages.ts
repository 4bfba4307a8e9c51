/**
 * A huge page goes to a device as a whole and comes back as a whole, unless somebody
 * cuts it: a partial munmap splits the entry, a fault on a part splits the folio.
 */
import {
  defineScenario,
  MADV_HUGEPAGE,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  Mirror,
  MirrorDevice,
  PROT_READ,
  PROT_WRITE,
  snapshotName,
} from "memdesc";

const PAGE = 4096;
const HUGE = 2 * 2 ** 20;
const PAGES = HUGE / PAGE;

export default defineScenario({
  name: "device huge pages",
  about: "a huge page moves to a device, is split there, and comes back",
  machine: { memory: "64MiB", device: { private: "256MiB", span: "128MiB" } },

  run(s) {
    const { kernel, devices } = s;
    const device = new MirrorDevice(devices, { id: 0, kind: "private", chunkPages: 4096 });
    const p = kernel.createProcess();
    const mirror = new Mirror(device, p);
    const map = p.mmap({
      length: 2 * HUGE,
      prot: PROT_READ | PROT_WRITE,
      flags: MAP_PRIVATE | MAP_ANONYMOUS,
    });
    const at = Math.ceil(map / HUGE) * HUGE;
    p.madvise(at, HUGE, MADV_HUGEPAGE);
    for (let i = 0; i < PAGES; i += 64) p.write(at + i * PAGE, Uint8Array.of(i / 64));
    const first = (): string => snapshotName(mirror.snapshot(at, 1).data[0]);
    s.expect("it is mapped by one entry", first(), "WRITE|PMD");

    s.step("the huge page moves to the device", () => {
      s.expect("pages there", mirror.migrateToDevice(at, PAGES).cpages, PAGES);
    });
    s.expect("still one entry", first(), "DEV_PRIVATE_LOCAL|WRITE|PMD");
    // One map is for single pages, the other for huge ones.
    const [, pages] = device.maps;
    s.finding("map references while it is there", pages.refs);

    s.step("and back, by a touch", () => void p.read(at, 1));
    s.expect("one entry again", first(), "WRITE|PMD");

    s.step("there once more", () => void mirror.migrateToDevice(at, PAGES));
    s.step("the second half is unmapped", () => p.munmap(at + HUGE / 2, HUGE / 2));
    s.expect("single entries now", first(), "DEV_PRIVATE_LOCAL|WRITE");
    s.step("a touch: the folio is split, and one page comes back", () => void p.read(at, 1));
    s.expect("it is in RAM", first(), "WRITE");
    s.expect("the others are there still", pages.inService, PAGES / 2 - 1);
    for (let i = 0; i < PAGES / 2; i += 64)
      s.expect(`page ${i}`, p.read(at + i * PAGE, 1)[0], i / 64);
    s.step("everybody goes", () => {
      mirror.close();
      device.removeChunks();
      p.exit();
    });
  },
});
