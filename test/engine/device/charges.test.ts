/**
 * A cgroup pays for its pages wherever they are, and for their descriptors where it pays
 * for descriptors: charges move with a page to a device and back, and are gone with it.
 *
 * Source: mem_cgroup_migrate, mm/migrate.c; descriptors are charged by choice (invented),
 * records of device-private memory never.
 */
import { expect, test } from "vitest";
import type { DeviceFault } from "../../../src/engine/device/device-fault.js";
import { migrateArgs, type MigrateVmaArgs } from "../../../src/engine/device/migrate-args.js";
import { COHERENT, config, PRIVATE, scene, wrong } from "./pagemap-scene.js";

const PAGE = 4096;
const PAGES = 8;

test.each(
  ["today", "memdesc8", "page32", "memdesc16+activation=request", "device-tuple"].flatMap(
    (design) => [PRIVATE, COHERENT].map((type) => [design, type] as const),
  ),
)("%s, memory of type %i: to the device, back by fault and by eviction", (design, type) => {
  const s = scene(design, { chargeDescriptors: true });
  const { devices, kernel } = s;
  const owner = {};
  const args = (start: number, pages: number, flags: number, process = 0): MigrateVmaArgs =>
    Object.assign(migrateArgs(pages), { start, end: start + pages, flags, owner, vma: process });
  const map = devices.mapPages({
    ...config(s, type),
    owner,
    ops: {
      folioFree: () => {},
      migrateToRam: ({ vma, vpn, page }: DeviceFault) =>
        devices.bringBack({ ...args(vpn, 1, 2, vma), faultPage: page }),
    },
  });
  const memcg = kernel.createMemcg(1000);
  const process = kernel.createProcess(memcg);
  const at = process.mmap({ length: PAGES * PAGE, prot: 3, flags: 0x22 });
  // Pages of RAM, and places that have none yet.
  for (let i = 0; i < PAGES - 2; i++) process.write(at + i * PAGE, Uint8Array.of(i + 1));
  const vpn = at / PAGE;
  const vma = devices.vmaLookup(process.mm, vpn);
  const give = (_from: number, i: number, order: number): number => devices.activate(map, i, order);
  expect(devices.migrateVma(args(vpn, PAGES, 1, vma), give)).toBe(PAGES);
  expect(wrong(s)).toEqual([]);
  process.read(at, 1);
  process.read(at + PAGE, 1);
  expect(wrong(s)).toEqual([]);
  devices.evictAll(map);
  expect(map.inService).toBe(0);
  expect(wrong(s)).toEqual([]);
  for (let i = 0; i < PAGES - 2; i++) expect(process.read(at + i * PAGE, 1)[0]).toBe(i + 1);
  process.exit();
  expect(kernel.memcg(memcg)).toMatchObject({ usage: 0, descriptorBytes: 0 });
  expect(wrong(s)).toEqual([]);
});
