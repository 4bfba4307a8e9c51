/**
 * A random walk over processes whose memory two GPUs and a NIC use, side by side with
 * the naive reference: whatever migrates, is read, written or taken exclusively by a
 * device, every process sees what the reference has, and every device sees what its
 * process sees.
 *
 * One GPU is a mirror device, the other one lets peers at its memory, the NIC has
 * regions of processes registered. Steps of processes come from `ProcessWalk`. The
 * same numbers give the same walk in every design; the reference knows nothing of
 * devices, since where a page is must not be seen.
 */
import type { RuleViolation } from "../../errors.js";
import type { Design } from "../../design/presets.js";
import { MISC_UNKNOWN, T_MISC } from "../../design/word/axis-types.js";
import { Devices } from "../../device/devices.js";
import { EFAULT, ENOMEM } from "../../device/kinds.js";
import { MirrorDevice } from "../../drivers/mirror/mirror-device.js";
import { Mirror, type Answer } from "../../drivers/mirror/mirror.js";
import type { MemoryRegion } from "../../drivers/rdma/memory-region.js";
import { PeerGpu } from "../../drivers/rdma/peer-gpu.js";
import {
  IB_ACCESS_LOCAL_WRITE,
  IB_ACCESS_ON_DEMAND,
  RdmaDevice,
} from "../../drivers/rdma/rdma-device.js";
import { snapshotPage } from "../../device/page-snapshot.js";
import { MAP_ANONYMOUS, MAP_PRIVATE } from "../../process/constants.js";
import { Kernel } from "../../process/kernel.js";
import type { HeldBlock } from "../view.js";
import { Draw } from "../process/program.js";
import { writeCell, type Cell } from "../process/reference.js";
import { inspectKernel, watchKernel } from "../process/sanitizer.js";
import type { Holdings } from "../process/shape.js";
import { ProcessWalk } from "../process/walk.js";
import type { Live, Range, WalkState } from "../process/walk-state.js";
import { watchDevices } from "./sanitizer.js";

const PAGE = 4096;
const READ = 1;
const WRITE = 2;
/** Pages of each GPU: the working set of a walk does not fit. */
const GPU_PAGES = 1536;
const HUGE = 512;
const PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS;
/** Pages of a process: more are not mapped for devices. */
const MOST_PAGES = 4000;
/** Regions that the NIC has at a time. */
const REGIONS = 4;

interface Registered {
  readonly region: MemoryRegion;
  readonly live: Live;
}

type Step = (draw: Draw, live: Live) => void;

export class DeviceWalk {
  readonly kernel: Kernel;
  readonly devices: Devices;
  readonly walk: ProcessWalk;
  readonly gpu: MirrorDevice;
  readonly peer: PeerGpu;
  readonly nic: RdmaDevice;
  readonly #mirrors = new Map<Live, Mirror>();
  readonly #regions: Registered[] = [];
  readonly #steps: readonly (readonly [number, Step])[] = [
    [3, (draw, live) => this.#maps(draw, live)],
    [6, (draw, live) => this.#fills(draw, live)],
    [5, (draw, live) => this.#toGpu(draw, live)],
    [3, (draw, live) => this.#fromGpu(draw, live)],
    [3, (draw, live) => this.#looksAtPage(draw, live)],
    [5, (draw, live) => this.#toPeer(draw, live)],
    [2, (draw, live) => this.#fromPeer(draw, live)],
    [4, (draw, live) => this.#gpuReads(draw, live)],
    [4, (draw, live) => this.#gpuWrites(draw, live)],
    [2, (draw, live) => this.#gpuLooks(draw, live)],
    [2, (draw, live) => this.#takesExclusively(draw, live)],
    [3, (draw, live) => this.#register(draw, live)],
    [6, (draw) => this.#nicReads(draw)],
    [4, (draw) => this.#nicWrites(draw)],
    [1, (draw) => this.#deregister(draw)],
    [1, (_draw, live) => this.#leave(live)],
  ];
  readonly #weight = this.#steps.reduce((sum, [weight]) => sum + weight, 0);

  /** Boots a machine for it in a design, with all events watched. */
  constructor(design: Design) {
    const kernel = Kernel.boot(
      {
        memory: "64MiB",
        policy: { thp: "always", thpOrders: { 2: "always", 9: "inherit" } },
        device: { private: "512MiB", span: "128MiB" },
      },
      design,
    );
    watchKernel(kernel);
    this.kernel = kernel;
    this.devices = Devices.attach(kernel);
    watchDevices(this.devices);
    this.walk = new ProcessWalk(kernel, { mayFail: true, processes: 2 });
    this.gpu = new MirrorDevice(this.devices, { id: 0, kind: "private", chunkPages: GPU_PAGES });
    const bar = { start: kernel.machine.deviceFirst, pages: 1024 };
    this.peer = new PeerGpu(this.devices, { pages: GPU_PAGES, bar });
    this.nic = new RdmaDevice(this.devices);
    if (this.peer.window !== null) this.nic.connect(this.peer.window, "bus");
  }

  get #state(): WalkState {
    return this.walk.state;
  }

  /** One operation, of a process or of a device. Throws RuleViolation where the two differ. */
  step(n: number): void {
    const s = this.#state;
    const draw = new Draw(n ^ 0x5bd1e995);
    if (s.lives.length === 0 || draw.once(3)) {
      this.walk.step(n);
      this.#forgetTheDead();
      return;
    }
    s.steps++;
    this.kernel.base.core.step = s.steps;
    let pick = draw.below(this.#weight);
    const found = this.#steps.find(([weight]) => (pick -= weight) < 0);
    found?.[1](draw, draw.of(s.lives));
  }

  /** Whoever mirrored a process that has ended lets go. */
  #forgetTheDead(): void {
    const lives = new Set(this.#state.lives);
    for (const live of this.#mirrors.keys()) if (!lives.has(live)) this.#leave(live);
    for (const { region, live } of this.#regions.filter((r) => !lives.has(r.live)))
      this.#drop(region, live);
  }

  #drop(region: MemoryRegion, _live: Live): void {
    region.deregister();
    this.#regions.splice(
      this.#regions.findIndex((r) => r.region === region),
      1,
    );
  }

  #mirror(live: Live): Mirror {
    let mirror = this.#mirrors.get(live);
    if (mirror === undefined) {
      mirror = new Mirror(this.gpu, live.process);
      this.#mirrors.set(live, mirror);
    }
    return mirror;
  }

  /** close: the device gives all of its memory back, of every process. */
  #leave(live: Live): void {
    this.#state.doing = `process ${live.process.pid} closes the device`;
    this.#mirrors.get(live)?.close();
    this.#mirrors.delete(live);
  }

  /** Some pages of a process, at most `most`, mostly of its own memory; null where it has none. */
  #range(draw: Draw, live: Live, most: number): Range | null {
    for (let i = 0; ; i++) {
      const range = this.#state.range(draw, live);
      if (range === null) return null;
      const page = live.ref.pages.get(range.start);
      const own = page !== undefined && page.object === null && (page.prot & READ) !== 0;
      if (!own && i < 8) continue;
      let end = range.start;
      while (end < Math.min(range.end, range.start + most)) {
        if (i < 8 && live.ref.pages.get(end)?.object !== null) break;
        end++;
      }
      return { start: range.start, end: Math.max(end, range.start + 1) };
    }
  }

  /** More private memory, now and then enough for huge pages. */
  #maps(draw: Draw, live: Live): void {
    const s = this.#state;
    if (live.ref.pages.size > MOST_PAGES) return;
    const pages = draw.of([4, 16, 64, HUGE + 70, 2 * HUGE]);
    s.doing = `mmap of ${pages} pages`;
    let start = -1;
    const got = s.outcome(() => {
      const length = pages * PAGE;
      start = live.process.mmap({ length, prot: READ | WRITE, flags: PRIVATE }) / PAGE;
    });
    if (!s.agree(got, "")) return;
    const spec = { prot: READ | WRITE, shared: false, object: null, hugetlb: false };
    live.ref.map(start, pages, spec, 0);
  }

  /** The process writes to many pages of its own, one after another. */
  #fills(draw: Draw, live: Live): void {
    const range = this.#range(draw, live, 40);
    if (range === null) return;
    this.#say("writes to", live, range);
    for (let vpn = range.start; vpn < range.end; vpn++) {
      const cell = this.#target(live, vpn);
      if (cell === null || draw.once(4)) continue;
      const bytes = draw.bytes(3);
      const got = this.#state.outcome(() => live.process.write(vpn * PAGE + 8, bytes));
      if (!this.#state.agree(got, "")) return;
      writeCell(cell, 8, bytes);
    }
  }

  /** What /proc would be shown of a device's page: none of them is a page of zeroes. */
  #looksAtPage(draw: Draw, live: Live): void {
    const page = this.#mirror(live).table.load(this.#state.page(draw, live));
    if (page < this.devices.firstPrivate) return;
    this.#state.doing = `a snapshot of page ${page}`;
    const { isZero, isHugeZero } = snapshotPage(this.devices, page, "snapshot");
    if (isZero || isHugeZero) this.#state.fail("a device's page is said to be the zero page");
  }

  /** Whether every page of a range is plain memory that may be read: what a device can have. */
  #isPlain(live: Live, { start, end }: Range, rights: number): boolean {
    for (let vpn = start; vpn < end; vpn++) {
      const page = live.ref.pages.get(vpn);
      if (page === undefined || (page.prot & rights) !== rights || page.hugetlb) return false;
      if (page.object?.kind === "device" || live.ref.signal(vpn, false) !== "") return false;
    }
    return true;
  }

  /** What a device read must be what the process has. */
  #compare(live: Live, start: number, data: Uint8Array, who: string): void {
    const s = this.#state;
    for (let i = 0; i * PAGE < data.length; i++) {
      const page = live.ref.pages.get(start + i);
      if (page === undefined) s.fail(`${who}: page ${i} is not mapped`);
      else
        s.compare(
          data.subarray(i * PAGE, (i + 1) * PAGE),
          live.ref.content(page),
          `${who}, page ${(start + i).toString(16)}`,
          -1,
        );
    }
  }

  #say(what: string, live: Live, { start, end }: Range): void {
    this.#state.doing = `${what} ${start.toString(16)}–${end.toString(16)} of process ${live.process.pid}`;
  }

  #toGpu(draw: Draw, live: Live): void {
    const range = this.#range(draw, live, 600);
    if (range === null) return;
    this.#say("migration to the GPU of", live, range);
    const answer = this.#mirror(live).migrateToDevice(range.start * PAGE, range.end - range.start);
    if (answer.error === 0) this.#compare(live, range.start, answer.data, "what the GPU has");
  }

  #fromGpu(draw: Draw, live: Live): void {
    const range = this.#range(draw, live, 600);
    if (range === null) return;
    this.#say("migration to RAM of", live, range);
    this.#mirror(live).migrateToSystem(range.start * PAGE, range.end - range.start);
  }

  #toPeer(draw: Draw, live: Live): void {
    const range = this.#range(draw, live, 600);
    if (range === null) return;
    this.#say("migration to the peer of", live, range);
    this.peer.toDevice(live.process, range.start * PAGE, range.end - range.start);
  }

  #fromPeer(draw: Draw, live: Live): void {
    const range = this.#range(draw, live, 600);
    if (range === null) return;
    this.#say("migration from the peer of", live, range);
    this.peer.toRam(live.process, range.start * PAGE, range.end - range.start);
  }

  /** What an answer must be where every page is plain memory; memory may run out. */
  #agrees(answer: Pick<Answer, "error">): boolean {
    if (answer.error === 0) return true;
    if (answer.error === ENOMEM || answer.error === EFAULT) {
      // Out of memory in a fault is −EFAULT or −ENOMEM to a device.
      this.#state.failures++;
      if (this.kernel.machine.freeFrames() < 2048) return false;
    }
    return this.#state.fail(`the device was refused with ${answer.error}`);
  }

  #gpuReads(draw: Draw, live: Live): void {
    const range = this.#range(draw, live, 8);
    if (range === null) return;
    this.#say("read by the GPU of", live, range);
    const answer = this.#mirror(live).read(range.start * PAGE, range.end - range.start);
    if (!this.#isPlain(live, range, READ)) return;
    if (this.#agrees(answer)) this.#compare(live, range.start, answer.data, "what the GPU read");
  }

  /** The cell that a device's write goes to; a page that was freed lazily is left alone. */
  #target(live: Live, vpn: number): Cell | null {
    const page = live.ref.pages.get(vpn);
    if (page === undefined || !this.#isPlain(live, { start: vpn, end: vpn + 1 }, READ | WRITE))
      return null;
    return live.ref.content(page)?.lazy === true ? null : live.ref.writable(page);
  }

  #gpuWrites(draw: Draw, live: Live): void {
    const vpn = this.#state.page(draw, live);
    const range = { start: vpn, end: vpn + 1 };
    this.#say("write by the GPU to", live, range);
    if (!this.#isPlain(live, range, READ | WRITE)) return;
    const data = new Uint8Array(PAGE);
    data.set(draw.bytes(8), draw.below(PAGE - 8));
    const cell = this.#target(live, vpn);
    if (cell === null) return;
    const answer = this.#mirror(live).write(vpn * PAGE, data);
    // Its own page that the process may not write (after fork): HMM gives it as it is,
    // whatever was asked, and the test device says −EFAULT (device-facts §5.8).
    if (answer.error === EFAULT && this.#state.pagemap(live, vpn).swapped) return;
    if (this.#agrees(answer)) writeCell(cell, 0, data);
  }

  #gpuLooks(draw: Draw, live: Live): void {
    const range = this.#range(draw, live, 64);
    if (range === null) return;
    this.#say("snapshot of", live, range);
    const { error } = this.#mirror(live).snapshot(range.start * PAGE, range.end - range.start);
    if (error !== 0) this.#state.fail(`a snapshot was refused with ${error}`);
  }

  #takesExclusively(draw: Draw, live: Live): void {
    const vpn = this.#state.page(draw, live);
    const range = { start: vpn, end: vpn + 1 };
    this.#say("exclusive access to", live, range);
    const page = live.ref.pages.get(vpn);
    if (page === undefined || page.shared || !this.#isPlain(live, range, READ | WRITE)) return;
    const cell = this.#target(live, vpn);
    if (cell === null) return;
    const answer = this.#mirror(live).exclusive(vpn * PAGE, 1);
    if (this.#agrees(answer)) this.#compare(live, vpn, answer.data, "what the GPU has alone");
  }

  #register(draw: Draw, live: Live): void {
    const range = this.#range(draw, live, 32);
    if (range === null || this.#regions.length >= REGIONS) return;
    this.#say("registration of", live, range);
    const length = (range.end - range.start) * PAGE;
    const access = IB_ACCESS_ON_DEMAND | (draw.once(2) ? IB_ACCESS_LOCAL_WRITE : 0);
    const region = this.nic.register(live.process, range.start * PAGE, length, access);
    this.#regions.push({ region, live });
  }

  #deregister(draw: Draw): void {
    if (this.#regions.length === 0) return;
    const { region, live } = draw.of(this.#regions);
    this.#drop(region, live);
  }

  #nicReads(draw: Draw): void {
    if (this.#regions.length === 0) return;
    const { region, live } = draw.of(this.#regions);
    const i = draw.below(region.pages);
    const vpn = region.addr / PAGE + i;
    const range = { start: vpn, end: vpn + 1 };
    this.#say("read by the NIC of", live, range);
    const rights = region.writable ? READ | WRITE : READ;
    const done = region.read(i * PAGE, PAGE);
    if (!this.#isPlain(live, range, rights)) return;
    if (this.#agrees(done)) this.#compare(live, vpn, done.data, "what the NIC read");
    // A region that may be written makes its pages the process's own, as a write does.
    const page = live.ref.pages.get(vpn);
    if (region.writable && page !== undefined && live.ref.content(page)?.lazy !== true)
      live.ref.writable(page);
  }

  #nicWrites(draw: Draw): void {
    if (this.#regions.length === 0) return;
    const { region, live } = draw.of(this.#regions);
    const i = draw.below(region.pages);
    const vpn = region.addr / PAGE + i;
    this.#say("write by the NIC to", live, { start: vpn, end: vpn + 1 });
    const cell = region.writable ? this.#target(live, vpn) : null;
    if (cell === null) return;
    const from = draw.below(PAGE - 8);
    const bytes = draw.bytes(8);
    if (this.#agrees(region.write(i * PAGE + from, bytes))) writeCell(cell, from, bytes);
  }

  /** Pages of RAM that the mirror device keeps its own in. */
  *#backing(): Generator<HeldBlock> {
    for (const [pfn, order] of this.gpu.backing.blocks)
      yield { pfn, order, type: T_MISC, subtype: MISC_UNKNOWN, refs: 0 };
  }

  #holdings(): Holdings {
    const { folios, blocks } = this.#state.holdings();
    return {
      ...(folios === undefined ? {} : { folios }),
      blocks: [...(blocks ?? []), ...this.#backing()],
    };
  }

  /** Contents of everything against the reference (throws), and every rule of the sanitizer. */
  check(): RuleViolation[] {
    this.#state.doing = "comparing all";
    this.#state.compareAll();
    return inspectKernel(this.kernel, this.#holdings());
  }

  /** Ends everything; what is left is a leak, also in the devices. */
  finish(): RuleViolation[] {
    for (const { region, live } of this.#regions.slice()) this.#drop(region, live);
    for (const live of this.#mirrors.keys()) this.#leave(live);
    if (this.peer.unload() !== 0) this.#state.fail("the peer's memory did not come back");
    this.gpu.removeChunks();
    this.nic.close();
    const { maps } = this.devices.pagemaps;
    if (maps.size > 0) this.#state.fail(`${maps.size} page maps are left`);
    return this.walk.finish();
  }
}
