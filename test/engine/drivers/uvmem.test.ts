/** uvmem: secure memory, page by page, all or an error. One driver source on every legal design. */
import { describe, expect, test } from "vitest";
import {
  GFN_NORMAL,
  GFN_PAGED_OUT,
  GFN_SECURE,
  GFN_SHARED,
  SecureGuest,
} from "../../../src/engine/drivers/uvmem/secure-guest.js";
import { Ultravisor } from "../../../src/engine/drivers/uvmem/ultravisor.js";
import { Uvmem } from "../../../src/engine/drivers/uvmem/uvmem.js";
import { ERRNO } from "../../../src/engine/errors.js";
import type { Process } from "../../../src/engine/process/process.js";
import {
  anon,
  boot,
  DESIGNS,
  fill,
  lost,
  mark,
  PAGE,
  sharedMachine,
  wrong,
  type Booted,
} from "./designs.js";

/** Guest frames begin here. */
const GFN = 100;

interface Setting extends Booted {
  readonly uvmem: Uvmem;
  readonly process: Process;
  readonly guest: SecureGuest;
  readonly at: number;
}

/** A guest of `pages` pages, each of which says which it is, beside `secure` pages of secure memory. */
function start(booted: Booted, secure: number, pages: number): Setting {
  const uvmem = new Uvmem(booted.devices, secure);
  const process = booted.kernel.createProcess();
  const at = anon(process, pages);
  fill(process, at, pages);
  const guest = new SecureGuest(uvmem, process);
  guest.addSlot(GFN, at, pages);
  return { ...booted, uvmem, process, guest, at };
}

/** The process and secure memory go: everything is back. */
function finish(s: Setting): void {
  s.process.exit();
  expect(s.uvmem.map.inService).toBe(0);
  expect(s.uvmem.pvts()).toEqual([]);
  expect(s.uvmem.free()).toBe(0);
  expect(s.kernel.settle()).toBe(s.before);
  expect(wrong(s)).toEqual([]);
}

const guestByte = (guest: SecureGuest | Ultravisor, i: number): number => {
  const out = new Uint8Array(1);
  expect(guest.read(GFN + i, 5, out)).toBe(0);
  return out[0];
};

describe.each(DESIGNS)("%s", (design) => {
  const machine = sharedMachine(design);

  test("pages go in one by one, keep what is in them, and come out where the hypervisor touches them", () => {
    const s = start(machine(), 16, 8);
    const { guest, process, uvmem, at } = s;
    expect(guest.pageIn(GFN)).toBe(-ERRNO.EINVAL);
    expect(guest.svmInitStart()).toBe(0);
    for (let i = 0; i < 8; i++) expect(guest.pageIn(GFN + i)).toBe(0);
    expect(uvmem.map.inService).toBe(8);
    expect(guest.pageIn(GFN)).toBe(-ERRNO.EINVAL);
    expect(guest.state(GFN)).toBe(GFN_SECURE);
    expect(process.pagemap(at).present).toBe(false);
    expect(wrong(s)).toEqual([]);

    expect(guestByte(guest, 3)).toBe(mark(3));
    guest.write(GFN + 3, 6, Uint8Array.of(42));
    expect([...process.read(at + 3 * PAGE + 5, 2)]).toEqual([mark(3), 42]);
    expect(guest.state(GFN + 3)).toBe(GFN_PAGED_OUT);
    expect(guest.read(GFN + 3, 5, new Uint8Array(1))).toBe(-ERRNO.EFAULT);

    expect(guest.pageOut(GFN + 4)).toBe(0);
    expect(guest.pageOut(GFN + 4)).toBe(0);
    expect(process.pagemap(at + 4 * PAGE).present).toBe(true);
    expect(lost(process, at, 8)).toEqual([]);
    expect(uvmem.map.inService).toBe(0);
    finish(s);
  });

  test("a shared page does not show what it held; dropping a slot with contents keeps them", () => {
    const s = start(machine(), 16, 8);
    const { guest, process, uvmem, at } = s;
    guest.svmInitStart();
    for (let i = 0; i < 4; i++) guest.pageIn(GFN + i);
    expect(guest.pageIn(GFN + 1, true)).toBe(0);
    expect(guest.state(GFN + 1)).toBe(GFN_SHARED);
    expect(process.read(at + PAGE + 5, 1)[0]).toBe(0);
    guest.write(GFN + 1, 0, Uint8Array.of(9));
    expect(process.read(at + PAGE, 1)[0]).toBe(9);
    // Shared again, and then its own once more.
    expect(guest.pageIn(GFN + 1, true)).toBe(0);
    expect(guest.pageIn(GFN + 1)).toBe(0);
    expect(guest.state(GFN + 1)).toBe(GFN_SECURE);

    expect(guest.svmInitAbort()).toBe(0);
    expect(guest.stage).toBe("normal");
    expect(guest.state(GFN)).toBe(GFN_NORMAL);
    expect(uvmem.map.inService).toBe(0);
    expect(process.read(at + PAGE, 1)[0]).toBe(9);
    expect(lost(process, at, 6, 2)).toEqual([]);

    guest.svmInitStart();
    guest.pageIn(GFN + 2);
    expect(guest.svmInitDone()).toBe(0);
    expect(uvmem.map.inService).toBe(8);
    expect(guestByte(guest, 2)).toBe(mark(2));
    // Nobody asked for this one's contents.
    expect(guestByte(guest, 3)).toBe(0);
    expect(guest.svmOff()).toBe(0);
    expect(process.read(at + 2 * PAGE + 5, 1)[0]).toBe(0);
    finish(s);
  });

  test("a forked process shares secure pages; part of the memory goes and its pages with it", () => {
    const s = start(machine(), 16, 8);
    const { guest, kernel, process, uvmem, at } = s;
    guest.svmInitStart();
    for (let i = 0; i < 8; i++) guest.pageIn(GFN + i);
    const child = process.fork();
    expect(wrong(s)).toEqual([]);
    expect(lost(child, at, 2)).toEqual([]);
    child.write(at + 2 * PAGE + 5, Uint8Array.of(200));
    expect(uvmem.map.inService).toBe(5);
    expect(process.read(at + 2 * PAGE + 5, 1)[0]).toBe(mark(2));
    process.munmap(at + 4 * PAGE, 2 * PAGE);
    expect(uvmem.map.inService).toBe(5);
    expect(lost(child, at, 2, 4)).toEqual([]);
    process.munmap(at + 6 * PAGE, 2 * PAGE);
    child.exit();
    expect(uvmem.map.inService).toBe(1);
    expect(uvmem.free()).toBe(-ERRNO.EBUSY);
    expect(lost(process, at, 2)).toEqual([]);
    expect(kernel.processes.size).toBe(1);
    finish(s);
  });

  test("a guest twice as large as secure memory: pages go out and come in again", () => {
    const s = start(machine(), 16, 32);
    const { guest, process, uvmem, at } = s;
    const firmware = new Ultravisor(guest);
    expect(firmware.enterSecureMode(GFN, 32)).toBe(0);
    expect(uvmem.freePages).toBe(0);
    expect(firmware.pagedOut).toBe(16);
    for (let i = 0; i < 32; i++) {
      expect(guestByte(firmware, i)).toBe(mark(i));
      firmware.write(GFN + i, 6, Uint8Array.of(i));
    }
    expect(uvmem.map.inService).toBe(16);
    expect(wrong(s)).toEqual([]);
    for (let i = 0; i < 32; i++) expect(process.read(at + i * PAGE + 6, 1)[0]).toBe(i);
    expect(lost(process, at, 32)).toEqual([]);
    finish(s);
  });
});

test("a page that somebody has pinned does not go, and stays what it was", () => {
  const s = start(boot("today"), 16, 2);
  const { guest, process, uvmem, at } = s;
  guest.svmInitStart();
  const held = process.gup(at, PAGE, 1);
  expect(guest.pageIn(GFN)).toBe(-ERRNO.EBUSY);
  expect(guest.state(GFN)).toBe(GFN_NORMAL);
  expect(uvmem.freePages).toBe(16);
  held.release();
  expect(guest.pageIn(GFN)).toBe(0);
  finish(s);
});
