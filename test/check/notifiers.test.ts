/**
 * The collision-retry protocol of interval notifiers on the engine's own functions,
 * in every interleaving: a device that reads a page table entry and a process that
 * changes it; who comes or goes while a change is under way.
 */
import { describe, expect, test } from "vitest";
import { explore } from "../../src/check/explorer.js";
import { Violation, type Program, type Thread, type Verdict } from "../../src/check/program.js";
import { parseDesign } from "../../src/engine/design/presets.js";
import {
  MM_MMAP_LOCK,
  MMU_SUBSCRIPTIONS_ACTIVE_INVALIDATE_RANGES,
  MMU_SUBSCRIPTIONS_INVALIDATE_SEQ,
} from "../../src/engine/layout/generated/offsets.js";
import { MAP_ANONYMOUS, MAP_PRIVATE } from "../../src/engine/process/constants.js";
import { PTE_THERE, ptePfn } from "../../src/engine/process/entry.js";
import { Kernel } from "../../src/engine/process/kernel.js";
import { downRead, spinLock, spinUnlock, upRead } from "../../src/engine/process/locks.js";
import { MMU_NOTIFY_CLEAR, type IntervalOps } from "../../src/engine/process/notifier/events.js";
import { O_MMU_INTERVAL } from "../../src/engine/process/objects.js";
import { pteAt } from "../../src/engine/process/page-tables.js";
import type { Process } from "../../src/engine/process/process.js";
import { CheckedWords } from "../../src/engine/words/checked.js";
import { PlainWords } from "../../src/engine/words/plain.js";
import type { Ref } from "../../src/units.js";

/** Words of the device, beside those of the machine: its lock, the frame it uses. */
const LOCK = 0;
const FRAME = 4;
const READS = 8;

interface Scene {
  readonly kernel: Kernel;
  readonly words: CheckedWords;
  readonly process: Process;
  readonly page: number;
  readonly device: Ref;
}

/** A process with one written page, and a device. Somebody listens to another process already. */
function scene(design: string): Scene {
  const made: CheckedWords[] = [];
  const kernel = Kernel.boot({ memory: "8MiB" }, parseDesign(design), (size) => {
    made.push(new CheckedWords(new PlainWords(size)));
    return made[0];
  });
  const other = kernel.createProcess();
  kernel.base.notifiers.insert(other.mm, 0, 1, { invalidate: () => true });
  const process = kernel.createProcess();
  const at = process.mmap({ length: 4096, prot: 3, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  process.touch(at, "write");
  // An object that nobody uses: the device's words.
  const device = kernel.base.core.newObject(O_MMU_INTERVAL);
  return { kernel, words: made[0], process, page: at / 4096, device };
}

/** What the device does when it is told: under its lock the number first, then the frame goes. */
const forgets = ({ kernel, words, device }: Scene): IntervalOps => ({
  invalidate(_range, seq, sub) {
    spinLock(words, device, LOCK);
    kernel.base.notifiers.setSeq(sub, seq);
    words.store32(device, FRAME, 0);
    spinUnlock(words, device, LOCK);
    return true;
  },
});

/** The frame that the page's entry leads to; 0 for none. */
function frameOf({ kernel, words, process, page }: Scene): number {
  const table = kernel.base.tables.pteTable(process.mm, page);
  if (table === 0) return 0;
  const lo = words.load64(table, pteAt(page));
  return (lo & PTE_THERE) === 0 ? 0 : ptePfn(lo, words.hi);
}

/** The pattern of every driver (Documentation/mm/hmm.rst). `careless` leaves out the retry. */
function mirror(s: Scene, sub: Ref, careless = false): void {
  const { notifiers } = s.kernel.base;
  const { words, process, device } = s;
  const seq = notifiers.readBegin(sub);
  downRead(words, process.mm, MM_MMAP_LOCK);
  const frame = frameOf(s);
  upRead(words, process.mm, MM_MMAP_LOCK);
  spinLock(words, device, LOCK);
  if (careless || !notifiers.readRetry(sub, seq)) words.store32(device, FRAME, frame);
  spinUnlock(words, device, LOCK);
}

/** Migration's first half, which holds no lock of the process: the entry leads nowhere afterwards. */
function unmaps({ kernel, process, page }: Scene): () => number {
  const { folios, core } = kernel.base;
  const pfn = process.pagemap(page * 4096).pfn;
  const folio = core.design.descriptorOf(pfn);
  folios.lock(folio);
  return () => (kernel.unmap.folio(folio, "migration", false) ? 1 : 0);
}

/** No change is under way, and the device uses no frame that the page no longer has. */
function rest(s: Scene): string | null {
  const { words, kernel, process, device } = s;
  const subs = kernel.base.notifiers.of(process.mm);
  const active = words.load32(subs, MMU_SUBSCRIPTIONS_ACTIVE_INVALIDATE_RANGES);
  const seq = words.load32(subs, MMU_SUBSCRIPTIONS_INVALIDATE_SEQ);
  if (active !== 0 || (seq & 1) !== 0) return `${active} changes are under way, number ${seq}`;
  const frame = words.load32(device, FRAME);
  return frame !== 0 && frame !== frameOf(s) ? `the device uses frame ${frame} still` : null;
}

function check(
  s: Scene,
  threads: readonly Thread[],
  finalCheck: NonNullable<Program["finalCheck"]>,
): Verdict {
  return explore({ words: s.words, threads, pages: [], finalCheck }, { mode: "merging" });
}

const DESIGNS = ["today", "memdesc8"];

describe.each(DESIGNS)("%s", (design) => {
  const readAndUnmap = (careless: boolean): Verdict => {
    const s = scene(design);
    const sub = s.kernel.base.notifiers.insert(s.process.mm, s.page, 1, forgets(s));
    const reader = (): number => {
      mirror(s, sub, careless);
      return 0;
    };
    const threads = [
      { name: "reader", run: reader },
      { name: "unmapper", run: unmaps(s) },
    ];
    return check(s, threads, () => rest(s));
  };

  test("a device never uses a frame that was taken from the page", () => {
    const verdict = readAndUnmap(false);
    expect(verdict.counterexample).toBeNull();
    expect(verdict.kind).toBe("complete");
    expect(verdict.ends).toBeGreaterThan(1);
  });

  test("without asking again it does: the check can fail", () => {
    const verdict = readAndUnmap(true);
    expect(verdict.kind).toBe("stopped");
    expect(verdict.reason).toMatch(/the device uses frame \d+ still/);
  });

  test("nor does one whose notifier is the process's first, and comes in the middle of it", () => {
    const s = scene(design);
    const { notifiers } = s.kernel.base;
    const ops = forgets(s);
    const reader = (): number => {
      const sub = notifiers.insert(s.process.mm, s.page, 1, ops);
      mirror(s, sub);
      return sub;
    };
    const threads = [
      { name: "reader", run: reader },
      { name: "unmapper", run: unmaps(s) },
    ];
    const verdict = check(s, threads, () => rest(s));
    expect(verdict.counterexample).toBeNull();
    expect(verdict.kind).toBe("complete");
  });

  test("who comes or goes during a change ends up in the list, or out of it", () => {
    const s = scene(design);
    const { notifiers } = s.kernel.base;
    const { mm } = s.process;
    const deaf = { invalidate: () => true };
    const stays = notifiers.insert(mm, s.page, 1, deaf);
    const goes = notifiers.insert(mm, s.page, 1, {
      invalidate() {
        // Its words are somebody else's after it has gone.
        s.words.store32(s.device, READS, s.words.load32(s.device, READS) + 1);
        return true;
      },
    });
    const change = (): number => {
      notifiers.start(mm, s.page, s.page + 1, MMU_NOTIFY_CLEAR);
      notifiers.end(mm, s.page, s.page + 1);
      return 0;
    };
    const leave = (): number | Violation => {
      notifiers.remove(goes);
      const heard = s.words.load32(s.device, READS);
      const again = s.words.load32(s.device, READS);
      return heard === again ? heard : new Violation("it hears after it has gone");
    };
    const come = (): number => notifiers.insert(mm, s.page, 1, deaf);
    const threads = [
      { name: "changes", run: change },
      { name: "leaves", run: leave },
      { name: "comes", run: come },
    ];
    const verdict = check(s, threads, ([, , came]) => {
      const hear: Ref[] = [];
      const { intervals } = notifiers;
      const subs = notifiers.of(mm);
      for (let sub = intervals.first(subs, 0, Infinity); sub !== 0;) {
        hear.push(sub);
        sub = intervals.next(sub, 0, Infinity);
      }
      hear.sort((a, b) => a - b);
      const wants = [stays, came as Ref].sort((a, b) => a - b);
      return hear.join() === wants.join() ? rest(s) : `${hear.join()} hear, not ${wants.join()}`;
    });
    expect(verdict.counterexample).toBeNull();
    expect(verdict.kind).toBe("complete");
  });
});
