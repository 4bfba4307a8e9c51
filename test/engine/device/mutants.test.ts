/**
 * Known bugs of real patches, each a switch: with the switch off the scenario passes,
 * with it on the books, the contents or the rules of numbers say what is wrong, by name.
 *
 * Which designs can have a bug at all is part of each: where device pages have pfns
 * there is one number space and nothing in it can be taken for something else.
 */
import { describe, expect, it } from "vitest";
import { MEMORY_DEVICE_COHERENT } from "../../../src/engine/device/kinds.js";
import { MIGRATE_VMA_SELECT_SYSTEM, migrateArgs } from "../../../src/engine/device/migrate-args.js";
import { MUTANTS, Mutants, type MutantName } from "../../../src/engine/device/mutants.js";
import { snapshotPage } from "../../../src/engine/device/page-snapshot.js";
import { KINDS_ARE_KNOWN, MARKED_AS_IT_IS } from "../../../src/engine/device/provenance.js";
import { MADV_DONTNEED } from "../../../src/engine/process/constants.js";
import type { Process } from "../../../src/engine/process/process.js";
import { Gpu, HUGE, Machine, PAGE } from "./gpu.js";

/** Pages of a device that has a number for every frame of 16 MiB. */
const PAGES = 4096;
/** The first huge page of it. */
const FIRST = Array.from({ length: HUGE }, (_, i) => i);

/** Where a page has a pfn, an offset, (space, index). */
const OWN_KIND = [
  "today+device-name=offset",
  "today+device-name=tuple",
  "memdesc8+device-name=offset+device-record=folio+activation=request",
  "memdesc16+device-name=tuple+device-record=device-private+activation=request",
];
const PHYSICAL = ["today", "memdesc8"];
const ALL = [...PHYSICAL, ...OWN_KIND];

const writes = (process: Process, addr: number, byte: number): void =>
  process.write(addr, new Uint8Array([byte]));

/** Something that is looked at; what is wrong there. */
type Check = () => readonly string[];
type Scenario = (m: Machine) => readonly Check[];

/** `who` must read `byte` at `addr`. */
const reads =
  (who: string, process: Process, addr: number, byte: number): Check =>
  () => {
    const is = process.read(addr, 1)[0];
    return is === byte ? [] : [`contents are each process's own: ${who} reads ${is}, not ${byte}`];
  };

/**
 * The first thing that is wrong after a scenario, and every rule of numbers that was
 * broken. A machine with wrong books is not asked for more: it may not answer.
 */
function wrongs(design: string, mutant: MutantName | null, scenario: Scenario): readonly string[] {
  const machine = new Machine(design, mutant);
  const checks = scenario(machine);
  const all: readonly Check[] = [...checks, () => machine.books(), () => machine.end()];
  let found: readonly string[] = [];
  for (const check of all) if (found.length === 0) found = check();
  return [...found, ...machine.provenance.violations.map((v) => v.message)];
}

/** Off: nothing is wrong. On: each of `says` is said. */
function caught(
  mutant: MutantName,
  designs: readonly string[],
  scenario: Scenario,
  ...says: readonly string[]
): void {
  it.each(designs)("%s", (design) => {
    expect(wrongs(design, null, scenario)).toEqual([]);
    const on = wrongs(design, mutant, scenario);
    for (const text of says) expect(on.join("\n")).toContain(text);
  });
}

/** With the switch on, nothing is wrong either: the design cannot have the bug. */
function impossible(mutant: MutantName, designs: readonly string[], scenario: Scenario): void {
  it.each(designs)("impossible in %s", (design) => {
    expect(wrongs(design, mutant, scenario)).toEqual([]);
  });
}

it("all are off by default, and each can be switched on by its name", () => {
  const mutants = new Mutants();
  const states = (): unknown[] => Object.values(mutants);
  expect(states().some((on) => on === true)).toBe(false);
  for (const [i, name] of (Object.keys(MUTANTS) as MutantName[]).entries()) {
    mutants.set(name);
    expect(states().filter((on) => on === true)).toHaveLength(i + 1);
  }
});

/**
 * A page of which the parent's is with the device, shared with a second child; the first
 * child has written and has a page of RAM. Its frame and the device page have one number.
 */
describe("aliasing: a reverse-map walk compares numbers without their kind", () => {
  const deviceWalk = (m: Machine): readonly Check[] => {
    const gpu = new Gpu(m, PAGES);
    const { process: parent, addr } = m.process(1);
    writes(parent, addr, 1);
    const child = parent.fork();
    writes(child, addr, 7);
    gpu.take(parent, addr, 1, child.pagemap(addr).pfn);
    const second = parent.fork();
    gpu.evict([child.pagemap(addr).pfn]);
    return [
      reads("the child", child, addr, 7),
      () => m.books(),
      reads("the parent", parent, addr, 1),
      reads("the second child", second, addr, 1),
    ];
  };

  describe("a walk for the device's page takes a frame for it", () => {
    caught("aliasing", OWN_KIND, deviceWalk, "contents are each process's own", KINDS_ARE_KNOWN);
    impossible("aliasing", PHYSICAL, deviceWalk);
  });

  const frameWalk = (m: Machine): readonly Check[] => {
    const gpu = new Gpu(m, PAGES);
    const { process: parent, addr } = m.process(1);
    writes(parent, addr, 1);
    const child = parent.fork();
    writes(child, addr, 7);
    // The frame that the parent and the second child share has the number of the child's page.
    const frame = parent.pagemap(addr).pfn;
    gpu.take(child, addr, 1, frame);
    const second = parent.fork();
    // Walked newest first: the child lies between the second and the parent.
    gpu.take(second, addr, 1, frame === 0 ? 1 : frame - 1);
    return [
      reads("the child", child, addr, 7),
      () => m.books(),
      reads("the parent", parent, addr, 1),
      reads("the second child", second, addr, 1),
    ];
  };

  describe("a walk for a frame takes a device's entry for it", () => {
    caught("aliasing", OWN_KIND, frameWalk, "contents are each process's own", MARKED_AS_IT_IS);
    impossible("aliasing", PHYSICAL, frameWalk);
  });
});

describe("coherent-mix: coherent pages are marked MIGRATE_PFN_DEVICE_PRIVATE", () => {
  /** Whose page has the number of the coherent frame: nobody's, or one in service. */
  const toCoherent = (m: Machine): readonly Check[] => {
    const { devices } = m;
    const first = devices.base.core.machine.deviceFirst;
    const owner = {};
    const coherent = devices.mapPages({
      name: "coherent",
      type: MEMORY_DEVICE_COHERENT,
      ranges: [{ start: first, pages: 512 }],
      owner,
      ops: { folioFree: () => {} },
    });
    const { process, addr } = m.process(1);
    writes(process, addr, 5);
    const args = migrateArgs(1);
    Object.assign(args, {
      vma: devices.vmaLookup(process.mm, addr / PAGE),
      start: addr / PAGE,
      end: addr / PAGE + 1,
      flags: MIGRATE_VMA_SELECT_SYSTEM,
      owner,
    });
    devices.mmapReadLock(process.mm);
    devices.migrateVma(args, () => devices.activate(coherent, 3, 0));
    devices.mmapReadUnlock(process.mm);
    const at = process.pagemap(addr).pfn;
    const went = at === first + 3 ? [] : [`the page goes where it was sent: it is at ${at}`];
    return [() => went, reads("the process", process, addr, 5)];
  };

  caught("coherent-mix", OWN_KIND, toCoherent, "the page goes where it was sent", MARKED_AS_IT_IS);
  impossible("coherent-mix", PHYSICAL, toCoherent);

  describe("a private page in service has the number of the coherent frame", () => {
    const twoPages = (m: Machine): readonly Check[] => {
      const first = m.devices.base.core.machine.deviceFirst;
      const gpu = new Gpu(m, first + HUGE);
      const { process, addr } = m.process(1);
      writes(process, addr, 9);
      gpu.take(process, addr, 1, first + 3);
      return [...toCoherent(m), () => m.books(), reads("its owner", process, addr, 9)];
    };
    caught("coherent-mix", OWN_KIND.slice(0, 2), twoPages, MARKED_AS_IT_IS);
    impossible("coherent-mix", PHYSICAL.slice(0, 1), twoPages);
  });
});

describe("pmd-walk: a device-private PMD is found without comparing its number", () => {
  /** The parent's huge page and the child's, which has written its own. */
  const two = (m: Machine): { gpu: Gpu; parent: Process; child: Process; addr: number } => {
    const gpu = new Gpu(m, PAGES);
    const { process: parent, addr } = m.process(HUGE, true);
    writes(parent, addr, 1);
    const child = parent.fork();
    child.madvise(addr, HUGE * PAGE, MADV_DONTNEED);
    writes(child, addr, 7);
    return { gpu, parent, child, addr };
  };
  describe("a walk for one folio takes another's", () => {
    const scenario = (m: Machine): readonly Check[] => {
      const { gpu, parent, child, addr } = two(m);
      gpu.take(parent, addr, HUGE, 0);
      gpu.take(child, addr, HUGE, HUGE);
      const second = parent.fork();
      gpu.evict(FIRST);
      return [
        () => m.books(),
        reads("the child", child, addr, 7),
        reads("the parent", parent, addr, 1),
        reads("the second child", second, addr, 1),
      ];
    };
    caught("pmd-walk", ALL, scenario, "map counts of device pages match the page tables");
  });

  describe("a walk for a folio of RAM takes a device's", () => {
    const scenario = (m: Machine): readonly Check[] => {
      const { gpu, parent, child, addr } = two(m);
      gpu.take(child, addr, HUGE, HUGE);
      const second = parent.fork();
      gpu.take(parent, addr, HUGE, 0);
      return [
        () => m.books(),
        reads("the child", child, addr, 7),
        reads("the parent", parent, addr, 1),
        reads("the second child", second, addr, 1),
      ];
    };
    caught("pmd-walk", ALL, scenario, "map counts of device pages match the page tables");
  });

  describe("a walk for migration entries (PVMW_MIGRATION) misreads a device-private one", () => {
    const scenario = (m: Machine): readonly Check[] => {
      const { gpu, parent, child, addr } = two(m);
      gpu.take(parent, addr, HUGE, 0);
      gpu.take(child, addr, HUGE, HUGE);
      // Nobody else maps the parent's: the walk that unmaps it ends before it comes to the child.
      gpu.evict(FIRST);
      return [
        () => m.books(),
        reads("the child", child, addr, 7),
        reads("the parent", parent, addr, 1),
      ];
    };
    caught("pmd-walk", ALL, scenario, "map counts of device pages match the page tables");
  });

  describe("the entry is not read again under the PMD lock", () => {
    const scenario = (m: Machine): readonly Check[] => {
      const { gpu, parent, addr } = two(m);
      gpu.take(parent, addr, HUGE, 0);
      const { tables, zap, counts } = m.devices.base;
      const pmds = tables.pmdTable(parent.mm, addr / PAGE);
      const vma = m.devices.vmaLookup(parent.mm, addr / PAGE);
      // Another CPU splits the PMD between the look and the lock.
      const lock = tables.lock.bind(tables);
      let armed = true;
      tables.lock = (table) => {
        if (armed && table === pmds) {
          armed = false;
          zap.splitDevicePmd(parent.mm, counts.mmId(vma), pmds, addr / PAGE);
        }
        return lock(table);
      };
      const stay = gpu.evict(FIRST);
      tables.lock = lock;
      const all = stay === 0 ? [] : [`single entries are found too: ${stay} pages stay`];
      return [() => m.books(), () => all, reads("the parent", parent, addr, 1)];
    };
    caught("pmd-walk", ALL, scenario, "map counts of device pages match the page tables");
  });
});

describe("zero-pfn: a page snapshot tests for the zero page on an offset", () => {
  const scenario = (m: Machine): readonly Check[] => {
    const zero = m.devices.base.core.zeroPage();
    const gpu = new Gpu(m, PAGES);
    const { process, addr } = m.process(1);
    writes(process, addr, 1);
    gpu.take(process, addr, 1, zero);
    const { isZero } = snapshotPage(m.devices, gpu.map.pageAt(zero), "snapshot");
    return [() => (isZero ? ["a device's page is not the zero page"] : [])];
  };
  caught("zero-pfn", OWN_KIND, scenario, "a device's page is not the zero page", KINDS_ARE_KNOWN);
  impossible("zero-pfn", PHYSICAL, scenario);
});

describe("numa-none: a page map without a node gives its pages none", () => {
  const scenario = (m: Machine): readonly Check[] => {
    // As the ultravisor does: NUMA_NO_NODE.
    const gpu = new Gpu(m, PAGES, { nid: -1 });
    const { process, addr } = m.process(2);
    writes(process, addr, 1);
    gpu.take(process, addr, 2, 0);
    return [() => m.books()];
  };
  caught("numa-none", OWN_KIND, scenario, "device pages are of a node that exists: 1023");
  impossible("numa-none", PHYSICAL, scenario);
});

describe("free-before-erase: records are freed before their numbers are taken back", () => {
  /** Another CPU looks the map's first number up between any two steps of its end. */
  const scenario = (m: Machine): readonly Check[] => {
    const gpu = new Gpu(m, PAGES);
    const { devices } = m;
    const { naming, zoneDevice, record } = devices;
    const { map } = gpu;
    const { process, addr } = m.process(1);
    writes(process, addr, 1);
    gpu.take(process, addr, 1, 0);
    writes(process, addr, 2);
    const low = naming.numberLow(map.first, map.words);
    const high = naming.numberHigh(map.first, map.words);
    const wrong: string[] = [];
    const look = (): void => {
      const page = naming.find(low, high);
      if (page >= 0 && !zoneDevice.area.isThere(record.rowRef(page)))
        wrong.push("a number leads to a record that is there");
    };
    const retire = naming.retire.bind(naming);
    naming.retire = (words) => {
      look();
      retire(words);
      look();
    };
    const give = zoneDevice.area.give.bind(zoneDevice.area);
    zoneDevice.area.give = (ref, off, bytes) => {
      look();
      give(ref, off, bytes);
      look();
    };
    devices.unmapPages(map);
    naming.retire = retire;
    zoneDevice.area.give = give;
    return [() => wrong];
  };
  caught("free-before-erase", OWN_KIND, scenario, "a number leads to a record that is there");
  // Records that come in chunks are freed with the map too.
  const chunks = OWN_KIND.slice(0, 2).map((d) => `${d}+device-lifetime=chunk`);
  describe("in chunks", () => {
    caught("free-before-erase", chunks, scenario, "a number leads to a record that is there");
  });
  impossible("free-before-erase", PHYSICAL, scenario);
});
