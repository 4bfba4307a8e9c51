/**
 * Host memory that a fully populated machine takes: resident set and what of it
 * is metadata that the design reserved. Argument: design.
 *
 * All memory of the machine is mapped anonymous pages of one process; nothing is
 * written to them, so contents take nothing. Prints JSON.
 */
import { readFileSync } from "node:fs";
import { parseDesign } from "../src/engine/design/presets.js";
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
} from "../src/engine/process/constants.js";
import { Kernel } from "../src/engine/process/kernel.js";

const PAGE = 4096;
const BATCH = 4096;

const settle = globalThis.gc ?? ((): void => {});
/** Resident bytes of this process; what the garbage collector can give back is given back first. */
function resident(): number {
  settle();
  settle();
  const kib = /VmRSS:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return Number(kib) * 1024;
}

/** Boots, fills all memory but what the watermarks keep, and counts the bytes reserved for metadata. */
function populate(design: string, memory: string): { kernel: Kernel; metadata: number } {
  const kernel = Kernel.boot({ memory }, parseDesign(design));
  const p = kernel.createProcess();
  let full = false;
  while (!full) {
    const at = p.mmap({
      length: BATCH * PAGE,
      prot: PROT_READ | PROT_WRITE,
      flags: MAP_PRIVATE | MAP_ANONYMOUS,
    });
    for (let i = 0; i < BATCH && !full; i++)
      full = kernel.faults.handle(p.mm, at / PAGE + i, true) !== 0;
  }
  const { machine } = kernel;
  let heap = 0;
  machine.heap.forEachFrame(() => (heap += PAGE));
  return { kernel, metadata: machine.pageArrayBytes + machine.zoneTableBytes + heap };
}

const [design = ""] = process.argv.slice(2);
// The same on a small machine first, so that code and its compilation are there already.
populate(design, "64MiB");
const before = resident();
const { kernel, metadata } = populate(design, "2GiB");
const host = resident() - before;
console.log(JSON.stringify({ host, metadata, processes: kernel.processes.size }));
