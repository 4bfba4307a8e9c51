/**
 * The pattern of every user of HMM on the engine's own functions, in every
 * interleaving with somebody who takes the page away: begin, hmm_range_fault, the
 * device's lock, retry, use. The device never uses a frame that the page has lost;
 * without asking again it does.
 */
import { describe, expect, test } from "vitest";
import { explore } from "../../../src/check/explorer.js";
import type { Verdict } from "../../../src/check/program.js";
import { Devices } from "../../../src/engine/device/devices.js";
import type { HmmRange } from "../../../src/engine/device/hmm/hmm.js";
import { EBUSY } from "../../../src/engine/device/kinds.js";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { MAP_ANONYMOUS, MAP_PRIVATE } from "../../../src/engine/process/constants.js";
import { spinLock, spinUnlock } from "../../../src/engine/process/locks.js";
import { O_MMU_INTERVAL } from "../../../src/engine/process/objects.js";
import { Kernel } from "../../../src/engine/process/kernel.js";
import { CheckedWords } from "../../../src/engine/words/checked.js";
import { PlainWords } from "../../../src/engine/words/plain.js";
import type { Ref } from "../../../src/units.js";

/** Words of the device: its lock, the frame it uses. */
const LOCK = 0;
const FRAME = 4;

function setUp(design: string) {
  const made: CheckedWords[] = [];
  const kernel = Kernel.boot(
    { memory: "8MiB", device: { private: "2MiB", span: 0 } },
    parseDesign(design),
    (size) => {
      made.push(new CheckedWords(new PlainWords(size)));
      return made[0];
    },
  );
  const [words] = made;
  const { hmm } = Devices.attach(kernel);
  const process = kernel.createProcess();
  const addr = process.mmap({ length: 4096, prot: 3, flags: MAP_PRIVATE | MAP_ANONYMOUS });
  process.touch(addr, "write");
  const { notifiers, core } = kernel.base;
  // An object that nobody uses: the device's words.
  const device = core.newObject(O_MMU_INTERVAL);
  const notifier = notifiers.insert(process.mm, addr / 4096, 1, {
    invalidate(_range, seq, sub) {
      spinLock(words, device, LOCK);
      notifiers.setSeq(sub, seq);
      words.store32(device, FRAME, 0);
      spinUnlock(words, device, LOCK);
      return true;
    },
  });
  return { kernel, words, hmm, process, page: addr / 4096, device, notifier };
}

type Scene = ReturnType<typeof setUp>;

/** One round of the pattern: 1 where the frame is used now, else 0. */
function round(s: Scene, careless: boolean): number {
  const { notifiers } = s.kernel.base;
  const range: HmmRange = {
    mm: s.process.mm,
    notifier: s.notifier,
    notifierSeq: notifiers.readBegin(s.notifier),
    start: s.page,
    end: s.page + 1,
    pfns: new Int32Array(2),
    defaultFlags: 0,
    pfnFlagsMask: 0,
    owner: null,
  };
  if (s.hmm.hmmRangeFaultLocking(range) === EBUSY) return 0;
  const frame = s.hmm.page(range.pfns, 0);
  spinLock(s.words, s.device, LOCK);
  const uses = frame >= 0 && (careless || !notifiers.readRetry(s.notifier, range.notifierSeq));
  if (uses) s.words.store32(s.device, FRAME, frame);
  spinUnlock(s.words, s.device, LOCK);
  return uses ? 1 : 0;
}

/** Migration's first half: the entry leads nowhere afterwards. */
function unmapper({ kernel, process, page }: Scene): () => number {
  const { folios, core } = kernel.base;
  const folio: Ref = core.design.descriptorOf(process.pagemap(page * 4096).pfn);
  folios.lock(folio);
  return () => (kernel.unmap.folio(folio, "migration", false) ? 1 : 0);
}

function verdictOf(design: string, careless: boolean): Verdict {
  const s = setUp(design);
  return explore(
    {
      words: s.words,
      pages: [],
      threads: [
        { name: "device", run: () => round(s, careless) },
        { name: "unmapper", run: unmapper(s) },
      ],
      finalCheck: () => {
        const frame = s.words.load32(s.device, FRAME);
        return frame === 0 ? null : `the device uses frame ${frame} still`;
      },
    },
    { mode: "merging" },
  );
}

describe.each(["today", "device-tuple", "memdesc8+device-name=tuple+activation=request"])(
  "%s",
  (design) => {
    test("a device that asks again never uses a frame that the page has lost", () => {
      const verdict = verdictOf(design, false);
      expect(verdict.counterexample).toBeNull();
      expect(verdict.kind).toBe("complete");
      expect(verdict.ends).toBeGreaterThan(1);
    });

    test("one that does not does: the check can fail", () => {
      const verdict = verdictOf(design, true);
      expect(verdict.kind).toBe("stopped");
      expect(verdict.reason).toMatch(/the device uses frame \d+ still/);
    });
  },
);
