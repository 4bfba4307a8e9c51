/**
 * A NIC that has to wait: it meets pages on their way to a GPU or back, sleeps until they
 * have come, and does nothing twice that it had done before.
 */
import { expect, test } from "vitest";
import type { Devices } from "../../src/engine/device/devices.js";
import { parseDesign } from "../../src/engine/design/presets.js";
import {
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
  migrateArgs,
  type MigrateVmaArgs,
} from "../../src/engine/device/migrate-args.js";
import { PeerGpu } from "../../src/engine/drivers/rdma/peer-gpu.js";
import {
  IB_ACCESS_LOCAL_WRITE,
  IB_ACCESS_ON_DEMAND,
  RdmaDevice,
} from "../../src/engine/drivers/rdma/rdma-device.js";
import { MADV_DONTNEED } from "../../src/engine/process/constants.js";
import { bootSubject } from "../../src/scenario/subject.js";
import { runThreads } from "../../src/scenario/threads.js";

const PAGE = 4096;
const PAGES = 4;

/** A process whose first page, or last pages, are on their way while a NIC wants all of them. */
function meet(design: string, toDevice: boolean) {
  const subject = bootSubject(
    { memory: "16MiB", device: { private: "128MiB", span: "128MiB" } },
    parseDesign(design),
  );
  const { kernel, devices } = subject;
  if (devices === null) throw new Error("no room for devices");
  const bar = { start: devices.pagemaps.span.start, pages: 512 };
  const gpu = new PeerGpu(devices, { pages: 512, bar });
  const nic = new RdmaDevice(devices);
  if (gpu.window !== null) nic.connect(gpu.window, "host-bridge");
  const process = kernel.createProcess();
  const at = process.mmap({ length: PAGES * PAGE, prot: 3, flags: 0x22 });
  for (let i = 0; i < PAGES; i++) process.write(at + i * PAGE, Uint8Array.of(i + 1));
  gpu.toDevice(process, at, 1);
  const region = nic.register(
    process,
    at,
    PAGES * PAGE,
    IB_ACCESS_ON_DEMAND | IB_ACCESS_LOCAL_WRITE,
  );
  // The first page is mapped before: what is mapped stays so.
  expect(region.fault(0, 1)).toBe(1);
  // Collected, unmapped, locked; the rest is the other thread's.
  const first = at / PAGE + (toDevice ? 2 : 0);
  const args = migrateArgs(2, {
    vma: devices.vmaLookup(process.mm, first),
    start: first,
    end: first + (toDevice ? 2 : 1),
    flags: toDevice ? MIGRATE_VMA_SELECT_SYSTEM : MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
    owner: gpu.owner,
  });
  expect(devices.migrate.setup(args)).toBe(0);
  for (let i = 0; i < args.npages; i++) {
    const to = toDevice ? devices.activate(gpu.map, i, 0) : devices.allocSystem(0);
    expect(to).toBeGreaterThan(0);
    devices.copy(devices.pfns.page(args.src, i), to);
    devices.pfns.set(args.dst, i, to, 0);
  }
  return { subject, devices, process, at, region, nic, args };
}

/** Who moves the pages, from where it stands. */
const goesOn = (devices: Devices, args: MigrateVmaArgs) => (): void => {
  devices.migrate.pages(args);
  devices.migrate.finalize(args);
};

/** The NIC reads all of it meanwhile. */
function reads(design: string, toDevice: boolean) {
  const { subject, region, nic, args, devices } = meet(design, toDevice);
  const read = { bytes: [] as number[], error: -1, peer: -1 };
  const run = runThreads(subject.words, subject.kernel.base.core.content, {
    nic: () => {
      // Mapped before the wait, which is for other pages.
      region.fault(1, 2);
      const { error, data, peerBytes } = region.read(0, PAGES * PAGE);
      read.error = error;
      read.peer = peerBytes;
      read.bytes = Array.from({ length: PAGES }, (_, i) => data[i * PAGE]);
    },
    gpu: goesOn(devices, args),
  });
  return { run, read, nic, region };
}

test.each(
  ["today", "device-offset", "device-tuple"].flatMap((design) => [
    [design, true] as const,
    [design, false] as const,
  ]),
)("%s: pages on their way (to the GPU: %s)", (design, toDevice) => {
  const { run, read, nic, region } = reads(`${design}+peer=alias`, toDevice);
  expect(run.stuck).toEqual([]);
  expect(run.events.map((e) => `${e.thread} ${e.what}`)).toEqual([
    "nic waits",
    "gpu ends",
    "nic goes on",
    "nic ends",
  ]);
  expect([read.error, read.bytes]).toEqual([0, [1, 2, 3, 4]]);
  expect(read.peer).toBe((toDevice ? 3 : 0) * PAGE);
  // Each page is mapped once: what was done before the wait was not done again.
  expect([nic.dma.mapped, region.counts.mapped]).toEqual([PAGES, PAGES]);
  nic.close();
  expect([nic.dma.mapped, nic.dma.reserved]).toEqual([0, 0]);
});

test.each(["today", "device-offset", "device-tuple"])(
  "%s: what is taken from the NIC before a wait is taken once",
  (design) => {
    const { subject, devices, process, at, region, nic, args } = meet(
      `${design}+peer=alias`,
      false,
    );
    expect(region.fault(1, 2)).toBe(1);
    expect(nic.dma.mapped).toBe(1);
    const run = runThreads(subject.words, subject.kernel.base.core.content, {
      process: () => {
        process.madvise(at + PAGE, PAGE, MADV_DONTNEED);
        process.touch(at, "read");
      },
      gpu: goesOn(devices, args),
    });
    expect(run.events.map((e) => `${e.thread} ${e.what}`).slice(0, 2)).toEqual([
      "process waits",
      "gpu ends",
    ]);
    expect([run.stuck, nic.dma.mapped, region.counts.mapped]).toEqual([[], 0, 0]);
    nic.close();
    expect([nic.dma.mapped, nic.dma.reserved]).toEqual([0, 0]);
  },
);
