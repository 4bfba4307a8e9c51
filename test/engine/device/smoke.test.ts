import { describe, expect, it } from "vitest";
import { parseDesign } from "/work/main/src/engine/design/presets.js";
import { Kernel } from "/work/main/src/engine/process/kernel.js";
import { Devices } from "/work/main/src/engine/device/devices.js";
import { migrateArgs, MIGRATE_VMA_SELECT_SYSTEM, MIGRATE_VMA_SELECT_DEVICE_PRIVATE } from "/work/main/src/engine/device/migrate-args.js";
import { MEMORY_DEVICE_PRIVATE } from "/work/main/src/engine/device/kinds.js";
import { inspectKernel } from "/work/main/src/engine/sanitizer/process/sanitizer.js";

const words = ["today", "page32", "memdesc16", "memdesc8", "slot64"];
const combos: string[] = [];
for (const n of ["physical", "offset", "tuple"]) for (const r of ["page", "folio", "device-private"]) for (const l of ["static", "chunk", "request"]) for (const a of ["init", "request"])
  combos.push(`device-name=${n}+device-record=${r}+device-lifetime=${l}+activation=${a}`);
const designs: string[] = [];
for (const w of words) for (const c of combos) { try { parseDesign(`${w}+${c}`); designs.push(`${w}+${c}`); } catch {} }
console.log(designs.length);

describe.each(designs)("%s", (name) => {
  it("round trip", () => {
    const kernel = Kernel.boot({ memory: "16MiB", device: { private: "128MiB", span: "128MiB" } }, parseDesign(name));
    const devices = Devices.attach(kernel);
    const owner = {};
    const before = kernel.settle();
    const args = migrateArgs(16);
    const free: number[] = Array.from({ length: 64 }, (_, i) => i);
    const map = devices.mapPages({ name: "gpu", type: MEMORY_DEVICE_PRIVATE, pages: 512, owner, ops: {
      folioFree: (page) => { free.push(map.offsetOf(page)); },
      migrateToRam: (fault) => {
        const a = migrateArgs(1);
        Object.assign(a, { vma: fault.vma, start: fault.vpn, end: fault.vpn + 1, flags: MIGRATE_VMA_SELECT_DEVICE_PRIVATE, owner, faultPage: fault.page });
        expect(devices.migrate.setup(a)).toBe(0);
        const src = devices.pfns.page(a.src, 0);
        if (src < 0) return -1007;
        const to = devices.allocSystem(0);
        devices.copy(src, to);
        devices.pfns.set(a.dst, 0, to, 0);
        devices.migrate.pages(a);
        devices.migrate.finalize(a);
        return 0;
      },
    } });
    const p = kernel.createProcess();
    const addr = p.mmap({ length: 16 * 4096, prot: 3, flags: 0x22 });
    for (let i = 0; i < 15; i++) p.write(addr + i * 4096, new Uint8Array([i + 1]));
    Object.assign(args, { vma: kernel.base.vmas.tree.lookup(p.mm, addr / 4096), start: addr / 4096, end: addr / 4096 + 16, flags: MIGRATE_VMA_SELECT_SYSTEM, owner });
    expect(devices.migrate.setup(args)).toBe(0);
    expect(args.cpages).toBe(16);
    for (let i = 0; i < 16; i++) {
      const page = devices.activate(map, free.pop()!, 0);
      expect(page).toBeGreaterThan(0);
      const src = devices.pfns.page(args.src, i);
      if (src >= 0) devices.copy(src, page);
      devices.pfns.set(args.dst, i, page, 0);
    }
    devices.migrate.pages(args);
    devices.migrate.finalize(args);
    expect(map.inService).toBe(16);
    expect(p.pagemap(addr).present).toBe(false);
    const child = p.fork();
    child.write(addr, new Uint8Array([99]));
    for (let i = 0; i < 15; i++) expect(p.read(addr + i * 4096, 1)[0]).toBe(i + 1);
    p.read(addr + 15 * 4096, 1);
    expect(map.inService).toBe(0);
    const bad = inspectKernel(kernel);
    expect(bad.map((b) => b.message)).toEqual([]);
    child.exit(); p.exit();
    devices.pagemaps.unmap(map);
    expect(kernel.settle() ).toBeGreaterThanOrEqual(before - 2);
    expect(devices.zoneDevice.warnings).toEqual([]);
  });
});
