/**
 * What the suite itself promises: the cases of the text by their names, and that
 * nothing which goes wrong in or after one passes unheard.
 */
import { beforeEach, describe, expect, it } from "vitest";
import { hmm, VARIANTS } from "../../conformance/cases/case.js";
import { CASES } from "../../conformance/cases/index.js";
import { Rig } from "../../conformance/harness.js";
import { runDesign } from "../../conformance/run.js";
import type { Test } from "../../conformance/testing.js";
import { parseDesign } from "../../src/engine/design/presets.js";
import { FOLL_GET } from "../../src/engine/process/gup.js";

const OPTIONS = { largest: 4, seed: 1, now: () => 0 };
/** device-facts §4.3, in its order. */
const NAMES = `open_close anon_read anon_read_prot anon_write anon_write_prot anon_write_child
  anon_write_child_shared anon_write_huge anon_write_hugetlbfs file_read file_write migrate
  migrate_file_private migrate_fault migrate_release migrate_shared hmm2.migrate_mixed
  migrate_multiple anon_read_multiple anon_teardown mixedmap hmm2.snapshot compound
  hmm2.double_map exclusive exclusive_mprotect exclusive_cow hmm_gup_test hmm_cow_in_device
  migrate_anon_huge_empty migrate_anon_huge_zero migrate_anon_huge_free migrate_anon_huge_fault
  migrate_partial_unmap_fault migrate_remap_fault migrate_anon_huge_err
  migrate_anon_huge_zero_err benchmark_thp_migration userfaultfd_read`
  .split(/\s+/)
  .map((name) => (name.includes(".") ? name : `hmm.${name}`));

describe("the suite", () => {
  it("has the 39 cases of the text, by name and in order", () => {
    expect(CASES.map(({ name }) => name)).toEqual(NAMES);
    expect(NAMES.length).toBe(39);
  });

  it("leaves no case out on any design", () => {
    expect(CASES.filter(({ cannot }) => cannot !== undefined)).toEqual([]);
  });
});

describe("a case fails", () => {
  let rig = new Rig(parseDesign("today"), OPTIONS);

  beforeEach(() => {
    if (rig.broken) rig = new Rig(parseDesign("today"), OPTIONS);
  });

  const failureOf = (work: (t: Test) => void): string | null =>
    rig.run(hmm("tried", work), "device_private").failure;

  it("not at all where everything holds", () => {
    expect(failureOf((t) => void t.init(t.mapped(4)))).toBeNull();
    expect(rig.broken).toBe(false);
  });

  it("with the line of the text and the values", () => {
    const failure = failureOf((t) => {
      t.line("READ c=n,f=1");
      const buffer = t.mapped(2);
      t.did(t.dmirrorRead(t.fd, buffer, 2), buffer, 3, 1);
    });
    expect(failure).toBe('"READ c=n,f=1": cpages is 2, must be 3');
    expect(rig.broken).toBe(true);
  });

  it("with the errno by name", () => {
    const failure = failureOf((t) => {
      t.line("READ → −EFAULT");
      const buffer = t.mapped(1);
      t.ret(t.dmirrorRead(t.fd, buffer, 1), -14);
    });
    expect(failure).toBe('"READ → −EFAULT": ret is 0, must be −EFAULT');
  });

  it("where an integer is another one, with its place", () => {
    const failure = failureOf((t) => {
      const buffer = t.mapped(64);
      const must = t.init(buffer);
      t.poke(buffer.ptr + 40 * 4096, 7);
      t.sees(buffer.ptr, must);
    });
    expect(failure).toBe("ptr[40960] (page 40) is 7, must be 40960");
  });

  it("where a child's checks do, whose status is not 0 then", () => {
    const failure = failureOf((t) => {
      const child = t.fork();
      t.line("child exited normally");
      child.runs((c) => {
        c.line("child sees i");
        c.equal("ptr[0]", 1, 0);
      });
      child.exit();
      t.childDid(child);
    });
    expect(failure).toBe(
      `"child exited normally": the child's exit status is 1: "child sees i": ptr[0] is 1, must be 0`,
    );
  });

  it("where the child was killed", () => {
    const failure = failureOf((t) => {
      const child = t.fork();
      child.kill(9);
      t.childDid(child);
    });
    expect(failure).toBe("the child was killed by signal 9");
  });

  it("where it throws, with the line that it was at", () => {
    const failure = failureOf((t) => {
      t.line("CPU reads");
      t.peek(0x10000);
    });
    expect(failure).toMatch(/^SignalError: .*\("CPU reads"\)$/);
  });

  it("where a page stays in use after its end", () => {
    const failure = failureOf((t) => {
      const buffer = t.mapped(1);
      t.init(buffer);
      t.process.gup(buffer.ptr, 4096, FOLL_GET);
    });
    expect(failure).toMatch(/pages are not free|rules are broken/);
  });

  it("where the kernel warned of a page map", () => {
    const failure = failureOf((t) => t.bench.devices.zoneDevice.warn("a page map is in use"));
    expect(failure).toBe("the kernel warned: a page map is in use");
  });

  it("where a process is left", () => {
    expect(failureOf((t) => void t.fork())).toMatch(/processes are left|pages are not free/);
  });

  it("where a rule of the sanitizer is broken", () => {
    const failure = failureOf((t) => {
      const buffer = t.mapped(1);
      t.init(buffer);
      const { folios } = t.kernel.base;
      folios.get(folios.ofPage(t.process.pagemap(buffer.ptr).pfn));
    });
    expect(failure).toMatch(/^rules are broken/);
  });
});

describe("a run", () => {
  it("takes the cases and variants that were chosen, each with its result", () => {
    const cases = ["hmm.open_close", "hmm2.double_map"];
    const results = runDesign(parseDesign("device-tuple"), { cases }, OPTIONS);
    expect(results.map((r) => `${r.name} ${r.variant}`)).toEqual(
      cases.flatMap((name) => VARIANTS.map((variant) => `${name} ${variant}`)),
    );
    expect(results.filter((r) => r.failure !== null)).toEqual([]);
  });
});
