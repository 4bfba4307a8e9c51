/**
 * Rules of mmu interval notifiers (mm/mmu_notifier.c, device-facts §5.7): when the
 * sequence number moves, who hears, what a reader must notice, who has to wait, and
 * what is left when the process or its notifiers go.
 */
import { beforeEach, describe, expect, test } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import {
  MM_MMAP_LOCK,
  MM_NOTIFIER_SUBSCRIPTIONS,
  MMU_INTERVAL_INVALIDATE_SEQ,
  MMU_SUBSCRIPTIONS_ACTIVE_INVALIDATE_RANGES,
  MMU_SUBSCRIPTIONS_INVALIDATE_SEQ,
} from "../../../src/engine/layout/generated/offsets.js";
import { MAP_ANONYMOUS, MAP_PRIVATE } from "../../../src/engine/process/constants.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import {
  ALL_PAGES,
  MMU_NOTIFY_CLEAR,
  MMU_NOTIFY_MIGRATE,
  MMU_NOTIFY_RELEASE,
  MMU_NOTIFY_UNMAP,
  NOTIFY_NAMES,
} from "../../../src/engine/process/notifier/events.js";
import { O_MM, O_MMU_INTERVAL, O_MMU_SUBSCRIPTIONS } from "../../../src/engine/process/objects.js";
import type { Process } from "../../../src/engine/process/process.js";
import { inspectKernel, leaksOf } from "../../../src/engine/sanitizer/process/sanitizer.js";
import { PlainWords } from "../../../src/engine/words/plain.js";
import { Deadlock } from "../../../src/engine/words/words.js";
import type { Ref } from "../../../src/units.js";
import { bootKernel, told } from "./kernels.js";
import { entryOf, listen } from "./listening.js";

const PAGE = 4096;
const ANON = MAP_PRIVATE | MAP_ANONYMOUS;
const EAGAIN = -11;

let kernel: Kernel;
let process: Process;
let mm: Ref;

beforeEach(() => {
  kernel = bootKernel({ memory: "16MiB" }, "memdesc8");
  process = kernel.createProcess();
  ({ mm } = process);
});

/** The process's own numbers: sequence, changes under way. */
function state(): { seq: number; active: number } {
  const { w, notifiers } = kernel.base;
  const subs = notifiers.of(mm);
  return {
    seq: w.load32(subs, MMU_SUBSCRIPTIONS_INVALIDATE_SEQ),
    active: w.load32(subs, MMU_SUBSCRIPTIONS_ACTIVE_INVALIDATE_RANGES),
  };
}

const seqOf = (sub: Ref): number => kernel.base.w.load32(sub, MMU_INTERVAL_INVALIDATE_SEQ);
const start = (from: number, to: number): number =>
  kernel.base.notifiers.start(mm, from, to, MMU_NOTIFY_CLEAR);
const end = (from: number, to: number): void => kernel.base.notifiers.end(mm, from, to);

test("events have the kernel's numbers", () => {
  expect(NOTIFY_NAMES).toEqual({
    0: "unmap",
    1: "clear",
    2: "protection of the VMA",
    3: "protection of pages",
    4: "soft dirty",
    5: "release",
    6: "migrate",
    7: "exclusive",
  });
});

describe("sequence numbers", () => {
  test("the process's begins at 2, a notifier's below it and odd", () => {
    const { sub } = listen(kernel, mm, 100, 10);
    expect(state()).toEqual({ seq: 2, active: 0 });
    expect(seqOf(sub)).toBe(1);
  });

  test("a change that meets a notifier makes it odd, the end of the last one even again", () => {
    const { sub, heard } = listen(kernel, mm, 100, 10);
    expect(start(105, 106)).toBe(0);
    expect(state()).toEqual({ seq: 3, active: 1 });
    expect(heard).toMatchObject([{ event: MMU_NOTIFY_CLEAR, start: 105, end: 106, seq: 3 }]);
    expect(seqOf(sub)).toBe(3);
    end(105, 106);
    expect(state()).toEqual({ seq: 4, active: 0 });
  });

  test("a change that meets nobody leaves it as it is", () => {
    const { heard } = listen(kernel, mm, 100, 10);
    start(90, 100);
    expect(state()).toEqual({ seq: 2, active: 1 });
    start(110, 120);
    expect(state()).toEqual({ seq: 2, active: 2 });
    end(90, 100);
    end(110, 120);
    expect(state()).toEqual({ seq: 2, active: 0 });
    expect(heard).toEqual([]);
  });

  test("changes inside of each other have one number, until the last ends", () => {
    const { heard } = listen(kernel, mm, 100, 10);
    start(100, 110);
    start(101, 102);
    end(101, 102);
    expect(state()).toEqual({ seq: 3, active: 1 });
    start(0, 1);
    end(100, 110);
    expect(state()).toEqual({ seq: 3, active: 1 });
    end(0, 1);
    expect(state()).toEqual({ seq: 4, active: 0 });
    expect(heard.map((h) => h.seq)).toEqual([3, 3]);
    start(100, 101);
    end(100, 101);
    expect(heard.map((h) => h.seq)).toEqual([3, 3, 5]);
  });

  test("who is met hears by first page, from the first page to the last", () => {
    const order: number[] = [];
    const add = (page: number, pages: number): void => {
      const { notifiers } = kernel.base;
      const ops = { invalidate: () => order.push(page) > 0 };
      expect(notifiers.insert(mm, page, pages, ops)).toBeGreaterThan(0);
    };
    for (const [page, pages] of [
      [300, 1],
      [100, 500],
      [200, 1],
      [399, 1],
      [400, 1],
    ])
      add(page, pages);
    start(200, 400);
    end(200, 400);
    expect(order).toEqual([100, 200, 300, 399]);
  });

  test("other processes hear nothing", () => {
    const other = kernel.createProcess();
    const { heard } = listen(kernel, other.mm, 0, ALL_PAGES);
    listen(kernel, mm, 0, ALL_PAGES);
    start(5, 6);
    end(5, 6);
    expect(heard).toEqual([]);
  });

  test("event and owner are passed on", () => {
    const { heard } = listen(kernel, mm, 0, 10);
    kernel.base.notifiers.start(mm, 3, 4, MMU_NOTIFY_MIGRATE, 77);
    kernel.base.notifiers.end(mm, 3, 4);
    expect(heard).toMatchObject([{ event: MMU_NOTIFY_MIGRATE, owner: 77 }]);
  });
});

describe("a reader", () => {
  test("without a change between need not try again", () => {
    const { notifiers } = kernel.base;
    const { sub } = listen(kernel, mm, 100, 10);
    const seq = notifiers.readBegin(sub);
    expect(seq).toBe(1);
    start(110, 120);
    end(110, 120);
    expect(notifiers.readRetry(sub, seq)).toBe(false);
    expect(notifiers.checkRetry(sub, seq)).toBe(false);
  });

  test("with one must, while it is under way and for ever after", () => {
    const { notifiers } = kernel.base;
    const { sub } = listen(kernel, mm, 100, 10);
    const seq = notifiers.readBegin(sub);
    start(109, 200);
    expect(notifiers.readRetry(sub, seq)).toBe(true);
    end(109, 200);
    expect(notifiers.readRetry(sub, seq)).toBe(true);
    expect(notifiers.checkRetry(sub, seq)).toBe(true);
    const again = notifiers.readBegin(sub);
    expect(again).toBe(3);
    expect(notifiers.readRetry(sub, again)).toBe(false);
  });

  test("sleeps while a change that met it is under way, and only then", () => {
    const { notifiers } = kernel.base;
    const near = listen(kernel, mm, 100, 10);
    const far = listen(kernel, mm, 500, 10);
    start(100, 101);
    expect(() => notifiers.readBegin(near.sub)).toThrow(Deadlock);
    // Not met, so what it sees does not change.
    expect(notifiers.readBegin(far.sub)).toBe(1);
    end(100, 101);
    expect(notifiers.readBegin(near.sub)).toBe(3);
  });
});

describe("who comes during a change", () => {
  test("that met nobody is put into the list at once, as if it had been met", () => {
    const { notifiers } = kernel.base;
    listen(kernel, mm, 0, 1);
    start(100, 101);
    const late = listen(kernel, mm, 100, 10);
    expect(state()).toEqual({ seq: 3, active: 1 });
    expect(seqOf(late.sub)).toBe(3);
    expect(late.heard).toEqual([]);
    expect(() => notifiers.readBegin(late.sub)).toThrow(Deadlock);
    start(102, 103);
    expect(late.events()).toEqual([MMU_NOTIFY_CLEAR]);
    end(102, 103);
    end(100, 101);
    expect(state()).toEqual({ seq: 4, active: 0 });
    expect(notifiers.readBegin(late.sub)).toBe(3);
  });

  test("that met somebody waits for its end, hears nothing till then, and its readers sleep", () => {
    const { notifiers } = kernel.base;
    listen(kernel, mm, 0, 1);
    start(0, 1);
    const late = listen(kernel, mm, 100, 10);
    expect(seqOf(late.sub)).toBe(3);
    expect(notifiers.intervals.hears(late.sub)).toBe(false);
    start(100, 101);
    expect(late.heard).toEqual([]);
    expect(() => notifiers.readBegin(late.sub)).toThrow(Deadlock);
    end(100, 101);
    expect(notifiers.intervals.hears(late.sub)).toBe(false);
    end(0, 1);
    expect(notifiers.intervals.hears(late.sub)).toBe(true);
    const seq = notifiers.readBegin(late.sub);
    start(100, 101);
    expect(late.heard).toMatchObject([{ seq: 5 }]);
    expect(notifiers.readRetry(late.sub, seq)).toBe(true);
    end(100, 101);
  });

  test("and goes before its end was never there, and does not wait", () => {
    const { notifiers } = kernel.base;
    listen(kernel, mm, 0, 1);
    start(0, 1);
    const [a, b, c] = [1, 2, 3].map((i) => listen(kernel, mm, i * 100, 10));
    notifiers.remove(b.sub);
    end(0, 1);
    start(0, 400);
    end(0, 400);
    expect([a, b, c].map((l) => l.heard.length)).toEqual([1, 0, 1]);
    expect(told(inspectKernel(kernel))).toEqual([]);
  });
});

describe("who goes", () => {
  test("hears nothing afterwards", () => {
    const { heard, sub } = listen(kernel, mm, 100, 10);
    const stays = listen(kernel, mm, 100, 10);
    kernel.base.notifiers.remove(sub);
    start(100, 101);
    end(100, 101);
    expect(heard).toEqual([]);
    expect(stays.events()).toEqual([MMU_NOTIFY_CLEAR]);
  });

  test("during a change that met somebody waits for its end, even if it was not met itself", () => {
    const { notifiers } = kernel.base;
    listen(kernel, mm, 0, 1);
    const { sub } = listen(kernel, mm, 100, 10);
    start(0, 1);
    expect(() => notifiers.remove(sub)).toThrow(Deadlock);
    end(0, 1);
    expect(notifiers.intervals.hears(sub)).toBe(false);
  });

  test("during a change that met nobody does not wait", () => {
    const { notifiers } = kernel.base;
    const { sub } = listen(kernel, mm, 100, 10);
    start(0, 1);
    notifiers.remove(sub);
    end(0, 1);
    expect(state()).toEqual({ seq: 2, active: 0 });
  });
});

describe("a change that may not sleep", () => {
  const nonBlocking = (): number =>
    kernel.base.notifiers.start(mm, 0, 1000, MMU_NOTIFY_UNMAP, 0, false);

  test("is refused by the first who would have to, and has not begun then", () => {
    const [a, b, c] = [1, 2, 3].map((i) => listen(kernel, mm, i * 100, 10));
    b.answer = false;
    expect(nonBlocking()).toBe(EAGAIN);
    expect([a, b, c].map((l) => l.heard.length)).toEqual([1, 0, 0]);
    expect(state()).toEqual({ seq: 4, active: 0 });
    // Who heard of it reads again: it cannot know that nothing came of it.
    expect(kernel.base.notifiers.readRetry(a.sub, 1)).toBe(true);
    expect(kernel.base.notifiers.readRetry(b.sub, 1)).toBe(false);
    b.answer = true;
    expect(nonBlocking()).toBe(0);
    kernel.base.notifiers.end(mm, 0, 1000);
  });

  test("one that may goes on whatever they say", () => {
    const [a, b] = [1, 2].map((i) => listen(kernel, mm, i * 100, 10));
    a.answer = false;
    expect(start(0, 1000)).toBe(0);
    expect(b.events()).toEqual([MMU_NOTIFY_CLEAR]);
    expect(state()).toEqual({ seq: 3, active: 1 });
    end(0, 1000);
  });

  test("the callback learns which it is", () => {
    const seen: boolean[] = [];
    const ops = { invalidate: (r: { blockable: boolean }) => seen.push(r.blockable) > 0 };
    kernel.base.notifiers.insert(mm, 0, 1, ops);
    start(0, 1);
    end(0, 1);
    nonBlocking();
    kernel.base.notifiers.end(mm, 0, 1000);
    expect(seen).toEqual([true, false]);
  });
});

describe("what is refused", () => {
  const ops = { invalidate: () => true };

  test.each([
    ["no pages", 5, 0],
    ["fewer than none", 5, -1],
    ["pages behind the last address", ALL_PAGES - 1, 2],
  ])("%s: EOVERFLOW, and nothing is kept", (_what, page, pages) => {
    expect(kernel.base.notifiers.insert(mm, page, pages, ops)).toBe(-75);
    expect(kernel.base.notifiers.any).toBe(0);
  });

  test("no memory for the subscriptions, or for the notifier: 0", () => {
    const { notifiers, core } = kernel.base;
    const { allocator } = kernel.machine;
    kernel.machine.onPressure = () => false;
    const failing = (after: number): Ref => {
      allocator.tried = 0;
      allocator.failAfter = after;
      const sub = notifiers.insert(mm, 0, 1, ops);
      allocator.failAfter = -1;
      return sub;
    };
    expect(failing(0)).toBe(0);
    expect(failing(1)).toBe(0);
    expect(core.objects(O_MMU_INTERVAL)).toBe(0);
    expect(told(inspectKernel(kernel))).toEqual([]);
    expect(notifiers.insert(mm, 0, 1, ops)).toBeGreaterThan(0);
    process.exit();
  });

  test("a process that has ended: EINVAL", () => {
    const { notifiers } = kernel.base;
    const { sub } = listen(kernel, mm, 0, 1);
    process.exit();
    expect(notifiers.insert(mm, 0, 1, ops)).toBe(-22);
    notifiers.remove(sub);
  });

  test("where the process is locked already, insertLocked is for it", () => {
    const { notifiers, w } = kernel.base;
    w.store32(mm, MM_MMAP_LOCK, -1);
    expect(() => notifiers.insert(mm, 0, 1, ops)).toThrow(Deadlock);
    expect(notifiers.insertLocked(mm, 0, 1, ops)).toBeGreaterThan(0);
    w.store32(mm, MM_MMAP_LOCK, 0);
  });
});

describe("the end of a process", () => {
  test("is told of before anything is unmapped, and then as any unmapping of all", () => {
    const at = process.mmap({ length: 4 * PAGE, prot: 3, flags: ANON });
    process.touch(at, "write");
    const { heard, sub } = listen(kernel, mm, at / PAGE, 1);
    const entry = entryOf(kernel, mm, at / PAGE);
    process.exit();
    expect(heard.map(({ event, start: from, end: to, seq }) => [event, from, to, seq])).toEqual([
      [MMU_NOTIFY_RELEASE, 0, ALL_PAGES, 3],
      [MMU_NOTIFY_UNMAP, 0, ALL_PAGES, 5],
    ]);
    expect(heard.map((h) => h.entry)).toEqual([entry, entry]);
    expect(kernel.base.notifiers.intervals.hears(sub)).toBe(true);
  });

  test("leaves mm_struct and subscriptions to those who still listen; the last one takes them along", () => {
    const { core, notifiers } = kernel.base;
    const subs = [1, 2, 3].map((i) => listen(kernel, mm, i * 100, 10).sub);
    const kinds = (): number[] =>
      [O_MM, O_MMU_SUBSCRIPTIONS, O_MMU_INTERVAL].map((kind) => core.objects(kind));
    process.exit();
    expect(kinds()).toEqual([1, 1, 3]);
    expect(told(inspectKernel(kernel))).toEqual([]);
    // They read on, with nobody left who could change anything.
    expect(notifiers.readRetry(subs[0], notifiers.readBegin(subs[0]))).toBe(false);
    notifiers.remove(subs[1]);
    notifiers.remove(subs[0]);
    expect(kinds()).toEqual([1, 1, 1]);
    notifiers.remove(subs[2]);
    expect(kinds()).toEqual([0, 0, 0]);
    expect(told(leaksOf(kernel))).toEqual([]);
  });

  test("takes the subscriptions along where all have gone before", () => {
    const { core, notifiers } = kernel.base;
    const { sub } = listen(kernel, mm, 0, 1);
    notifiers.remove(sub);
    expect(core.objects(O_MMU_SUBSCRIPTIONS)).toBe(1);
    process.exit();
    expect(told(leaksOf(kernel))).toEqual([]);
  });

  test("nothing is left of any of it", () => {
    const fresh = kernel.createProcess();
    fresh.exit();
    process.exit();
    const before = kernel.settle();
    const p = kernel.createProcess();
    const { sub } = listen(kernel, p.mm, 0, ALL_PAGES);
    const at = p.mmap({ length: 8 * PAGE, prot: 3, flags: ANON });
    p.touch(at, "write");
    p.fork().exit();
    p.exit();
    kernel.base.notifiers.remove(sub);
    expect(kernel.settle()).toBe(before);
  });
});

/** Plain words that note which words of a struct are looked at. */
class NotingWords extends PlainWords {
  ref = 0 as Ref;
  pointer = 0;
  accesses = 0;

  override load64(ref: Ref, off: number): number {
    this.accesses++;
    if (ref === this.ref && off === MM_NOTIFIER_SUBSCRIPTIONS) this.pointer++;
    return super.load64(ref, off);
  }
}

/** Loads that a copy on write makes, and how many of them look for subscriptions. */
function cost(subscribed: "nobody" | "to another process"): { accesses: number; pointer: number } {
  const words: NotingWords[] = [];
  const k = Kernel.boot({ memory: "16MiB" }, parseDesign("today"), (size) => {
    words.push(new NotingWords(size));
    return words[0];
  });
  const p = k.createProcess();
  const other = k.createProcess();
  if (subscribed !== "nobody") listen(k, other.mm, 0, ALL_PAGES);
  const at = p.mmap({ length: PAGE, prot: 3, flags: ANON });
  p.touch(at, "write");
  p.fork();
  words[0].ref = p.mm;
  words[0].accesses = 0;
  p.touch(at, "write");
  const { accesses, pointer } = words[0];
  return { accesses, pointer };
}

test("where nobody subscribed a change looks at no word for it; else at the process's pointer", () => {
  const nobody = cost("nobody");
  const other = cost("to another process");
  expect(nobody.pointer).toBe(0);
  // Once when it begins and once when it ends.
  expect(other.pointer).toBe(2);
  expect(other.accesses - nobody.accesses).toBe(2);
});
