/** docs/writing-a-driver.md: its driver at work on any design; what went wrong, nothing if all is well. */
import { Devices } from "../../../src/engine/device/devices.js";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { ToyGpu, ToyGpuProcess } from "../../../src/engine/drivers/guide/toy-gpu.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import { watchDevices } from "../../../src/engine/sanitizer/device/sanitizer.js";
import { inspectKernel, watchKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";

const PAGE = 4096;
const READ_WRITE = 3;
const PRIVATE_ANONYMOUS = 0x22;

export function tryToyGpu(design: string): string[] {
  const wrong: string[] = [];
  const must = (what: string, is: number, should: number): void => {
    if (is !== should) wrong.push(`${what}: ${is}, not ${should}`);
  };

  const room = { private: "128MiB", span: "128MiB" };
  const kernel = Kernel.boot({ memory: "8MiB", device: room }, parseDesign(design));
  const devices = Devices.attach(kernel);
  watchKernel(kernel);
  watchDevices(devices);
  const before = kernel.settle();

  const gpu = new ToyGpu(devices, 32);
  const process = kernel.createProcess();
  const view = new ToyGpuProcess(gpu, process.mm);
  const addr = process.mmap({ length: 64 * PAGE, prot: READ_WRITE, flags: PRIVATE_ANONYMOUS });
  for (let i = 0; i < 64; i++) process.write(addr + i * PAGE, Uint8Array.of(i));

  // Twice as much as the device holds: the second half pushes the first one out.
  must("pages that went", gpu.toDevice(process.mm, addr, 32), 32);
  must("pages that went", gpu.toDevice(process.mm, addr + 32 * PAGE, 32), 32);
  must("in service", gpu.map.inService, 32);

  // The GPU writes a page of its own and one that is in RAM.
  for (const i of [5, 40]) {
    const store = (page: number): void => devices.store(page, 1, Uint8Array.of(100 + i));
    must("a GPU's write", view.access(addr + i * PAGE, true, store), 0);
  }

  // A child shares the pages; what it or the GPU writes is its own.
  const child = process.fork();
  child.write(addr + 41 * PAGE, Uint8Array.of(99));
  const store = (page: number): void => devices.store(page, 1, Uint8Array.of(77));
  must("a GPU's write", view.access(addr + 40 * PAGE, true, store), 0);
  must("what the child sees of it", child.read(addr + 40 * PAGE + 1, 1)[0], 140);
  process.munmap(addr + 50 * PAGE, 4 * PAGE);
  wrong.push(...inspectKernel(kernel).map((violation) => violation.message));

  // The driver goes while its pages are in use. Nothing is lost.
  must("the driver goes", gpu.remove(), 0);
  for (let i = 0; i < 50; i++) must(`page ${i}`, process.read(addr + i * PAGE, 1)[0], i);
  must("what the GPU wrote", process.read(addr + 40 * PAGE + 1, 1)[0], 77);
  for (let i = 50; i < 54; i++) must(`the child's page ${i}`, child.read(addr + i * PAGE, 1)[0], i);
  child.exit();
  process.exit();
  view.close();
  must("free pages", kernel.settle(), before);
  return [...wrong, ...inspectKernel(kernel).map((v) => v.message), ...devices.zoneDevice.warnings];
}
