/**
 * Steps of a walk on memory that is not a process's own: scattered memory and a
 * driver's pages are made, mapped, seen by the kernel, and freed, often while
 * processes map them still.
 */
import { Area } from "../../process/scattered/area.js";
import type { Draw } from "./program.js";
import type { Device } from "./devices.js";
import { cellOf, writeCell } from "./reference.js";
import type { Live, WalkState } from "./walk-state.js";

const PAGE = 4096;
/** Made and not yet freed, at a time. */
const MOST = 4;

const owned = (s: WalkState): Device[] => s.devices.list.filter((d) => d.owner !== null);

/** Scattered memory as an area or a list, or a driver's block, to be mapped by number or as a folio. */
export function makeDevice(s: WalkState, draw: Draw): void {
  if (owned(s).length >= MOST) return freeDevice(s, draw);
  const pages = draw.once(6) ? 40 : 1 + draw.below(5);
  const order = draw.below(3);
  const kind = draw.of(["area", "area", "list", "block", "folio"] as const);
  s.doing = `a device of kind ${kind}, ${pages} pages or order ${order}`;
  const { kernel, devices } = s;
  const got = s.outcome(() => {
    if (kind === "block") devices.add(devices.driver.allocate({ userMap: true, order }));
    else if (kind === "folio")
      devices.add(devices.driver.allocate({ userMap: true, gup: true, pin: true, order }));
    else if (kind === "list" && kernel.scattered.objects.object.standsAlone)
      devices.add(kernel.scattered.list(pages));
    else devices.add(kernel.scattered.alloc(pages * PAGE));
  });
  s.agree(got, "");
}

/** Maps all of it, or a part. */
export function mapDevice(s: WalkState, draw: Draw, live: Live): void {
  const devices = owned(s);
  if (devices.length === 0) return makeDevice(s, draw);
  const { owner, object, frames } = draw.of(devices);
  if (owner === null) return;
  const whole = "kind" in owner;
  const first = whole ? 0 : draw.below(frames.length);
  const pages = whole ? frames.length : 1 + draw.below(frames.length - first);
  s.doing = `mmap of ${pages} pages of a device from page ${first} on`;
  let start = -1;
  const got = s.outcome(() => {
    const addr =
      "kind" in owner ? owner.mmap(live.process) : owner.mmap(live.process, { first, pages });
    start = addr / PAGE;
  });
  if (!s.agree(got, "")) return;
  if (!live.ref.isFree(start, start + pages)) s.fail("it was put over something");
  live.ref.map(start, pages, { prot: 3, shared: true, object, hugetlb: false }, first);
}

/** The kernel's own view of an area: the same bytes. */
export function touchDevice(s: WalkState, draw: Draw): void {
  const areas = owned(s).filter(({ owner }) => owner instanceof Area);
  if (areas.length === 0) return;
  const { owner, object, frames } = draw.of(areas);
  if (!(owner instanceof Area)) return;
  const index = draw.below(frames.length);
  const cell = cellOf(object, index);
  s.doing = `the kernel looks at page ${index} of an area`;
  s.compare(owner.read(index * PAGE, PAGE), cell, "what the kernel reads", frames[index]);
  if (draw.once(2)) return;
  const bytes = draw.bytes(6);
  owner.write(index * PAGE + 100, bytes);
  writeCell(cell, 100, bytes);
}

/** Who made it lets go: at the end of its use, or early. */
export function freeDevice(s: WalkState, draw: Draw): void {
  const devices = owned(s);
  if (devices.length === 0) return;
  const device = draw.of(devices);
  const { owner, frames } = device;
  if (owner === null) return;
  s.doing = `a device of ${frames.length} pages is freed`;
  const counted = s.devices.mayPin(device.object);
  // Where nothing counts, the mappings go first if memory is short: later they could not.
  if (!counted && s.options.mayFail && !unmapAll(s, device)) return;
  const mapped = mappingsOf(s, device);
  const report = owner.free();
  device.owner = null;
  const stale = "stale" in report ? report.stale : report;
  const must = counted ? 0 : mapped;
  if (stale.length !== must)
    s.fail(`${stale.length} mappings of freed memory are named, it must be ${must}`);
  if (!counted && !unmapAll(s, device)) s.fail("a mapping of freed memory cannot be taken away");
  s.devices.forget({ refs: s.lives.map((l) => l.ref), cells: s.pins.flatMap((p) => p.cells) });
}

function mappingsOf(s: WalkState, { object }: Device): number {
  let n = 0;
  for (const { ref } of s.lives)
    for (const page of ref.pages.values()) if (page.object === object && !page.gone) n++;
  return n;
}

/** Takes every mapping of it away; false where one could not be. */
function unmapAll(s: WalkState, { object }: Device): boolean {
  for (const { ref, process } of s.lives) {
    const vpns = [...ref.pages].filter(([, page]) => page.object === object).map(([vpn]) => vpn);
    for (const vpn of vpns) {
      const got = s.outcome(() => process.munmap(vpn * PAGE, PAGE));
      if (!s.agree(got, "")) return false;
      ref.unmap(vpn, vpn + 1);
    }
  }
  return true;
}
