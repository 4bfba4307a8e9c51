/**
 * Text of traces: every form of a line that the three tools and the kernels from 5.15
 * on print, what stands between the events, and what is wrong with some of them.
 * The lines are made after `print fmt` of the kernels' format files; whole outputs of
 * the tools are in text-fixtures.test.ts.
 */
import { describe, expect, it } from "vitest";
import { InputError } from "../../src/observe/input-error.js";
import {
  EV_ALLOC,
  EV_CACHE_ADD,
  EV_COLLAPSE,
  EV_COLLAPSE_FILE,
  EV_COMPACTION,
  EV_EXTFRAG,
  EV_FAULT_KERNEL,
  EV_FAULT_USER,
  EV_FREE,
  EV_FREE_BATCHED,
  EV_ISOLATED,
  EV_LOST,
  EV_LRU_ACTIVATE,
  EV_LRU_INSERTION,
  EV_MIGRATE_PAGES,
  EV_PCPU_DRAIN,
  EV_POOL_HOLD,
  EV_POOL_RELEASE,
  EV_REMOVE_MIGRATION,
  EV_RSS_STAT,
  EV_SCAN_FILE,
  EV_SCAN_PMD,
  EV_SET_MIGRATION,
  EV_VMAP_ALLOC,
  EV_VMAP_FREE,
  EV_WRITE_FOLIO,
  EV_ZONE_LOCKED,
} from "../../src/trace/events.js";
import { openText, type Row, rowsOf } from "./text-rows.js";

const HEAD = "            task-17283   [001] d..1.  1111.954252: ";
const at = 1_111_954_252_000;

/** The one row of a line of trace_pipe. */
async function one(event: string, kernel?: string): Promise<Row> {
  const source = await openText(`${HEAD}${event}\n`, kernel === undefined ? {} : { kernel });
  const rows = await rowsOf(source);
  expect(rows.length).toBe(1);
  expect(source.damage).toBe(null);
  return rows[0];
}

const FREE = "mm_page_free: page=0000000010938d5f pfn=0x99 order=3";

describe("fields of each event", () => {
  const cases: readonly [string, Row][] = [
    [
      "mm_page_alloc: page=000000005bf3537c pfn=0x222ebf order=9 migratetype=1 gfp_flags=GFP_HIGHUSER_MOVABLE|__GFP_ZERO|__GFP_COMP",
      [EV_ALLOC, 0x222ebf, 9, 0x140dca, 1],
    ],
    [
      "mm_page_alloc: page=(null) pfn=0x0 order=0 migratetype=0 gfp_flags=GFP_NOWAIT|0x80000000",
      [EV_ALLOC, -1, 0, 0x80002800 | 0, 0],
    ],
    [
      "mm_page_alloc: page=1 pfn=0x10 order=0 migratetype=2 gfp_flags=none",
      [EV_ALLOC, 16, 0, 0, 2],
    ],
    [FREE, [EV_FREE, 0x99, 3, 0, 0]],
    ["mm_page_free: page=00000000f3a pfn=1234567 order=0", [EV_FREE, 1234567, 0, 0, 0]],
    ["mm_page_free_batched: page=1 pfn=0x99 order=0", [EV_FREE_BATCHED, 0x99, 0, 0, 0]],
    ["mm_page_pcpu_drain: page=1 pfn=0x99 order=2 migratetype=3", [EV_PCPU_DRAIN, 0x99, 2, 0, 3]],
    [
      "mm_page_alloc_extfrag: page=1 pfn=0x99 alloc_order=0 fallback_order=9 pageblock_order=9 alloc_migratetype=2 fallback_migratetype=1 fragmenting=0 change_ownership=1",
      [EV_EXTFRAG, 0x99, 0, 9, 2],
    ],
    [
      "mm_page_alloc_zone_locked: page=1 pfn=0x99 order=1 migratetype=1 percpu_refill=1",
      [EV_ZONE_LOCKED, 0x99, 1, 1, 1],
    ],
    [
      "mm_filemap_add_to_page_cache: dev 8:1 ino 2f3a pfn=0x99 ofs=18446744073709547520 order=2",
      [EV_CACHE_ADD, 0x99, 2, 0x2f3a, -1],
    ],
    [
      "mm_filemap_add_to_page_cache: dev 8:1 ino fffffffff page=1 pfn=153 ofs=8192",
      [EV_CACHE_ADD, 153, 0, -1, 2],
    ],
    [
      "mm_filemap_add_to_page_cache:  pfn=0x119b34 i_ino=220592 index=0x2 s_dev=266338304 order=1",
      [EV_CACHE_ADD, 0x119b34, 1, 0x220592, 2],
    ],
    ["mm_lru_insertion: folio=1 pfn=0x99 lru=0 flags=Ma bd ", [EV_LRU_INSERTION, 0x99, 0, 0x33, 0]],
    ["mm_lru_insertion: page=1 pfn=153 lru=4 flags= f    ", [EV_LRU_INSERTION, 153, 4, 4, 0]],
    ["mm_lru_insertion: folio=1 pfn=0x99 lru=0 flags=MfsbdB", [EV_LRU_INSERTION, 0x99, 0, 0x7d, 0]],
    ["mm_lru_insertion: pfn=0x99 lru=0 flags=0x33", [EV_LRU_INSERTION, 0x99, 0, 0x33, 0]],
    ["mm_lru_activate: folio=1 pfn=0x99", [EV_LRU_ACTIVATE, 0x99, 0, 0, 0]],
    [
      "page_fault_user: address=0x558ee59b7e9c ip=0x558edf4542c3 error_code=0x7",
      [EV_FAULT_USER, 0x558ee59b7, 7, 0, 0],
    ],
    [
      "page_fault_kernel: address=0xffffc90000001000 ip=copy_user error_code=0x2",
      [EV_FAULT_KERNEL, 0xffffc90000001, 2, 0, 0],
    ],
    [
      "page_fault_kernel: address=some_symbol ip=copy_user error_code=0x2",
      [EV_FAULT_KERNEL, -1, 2, 0, 0],
    ],
    [
      "rss_stat: mm_id=2773773409 curr=1 type=MM_ANONPAGES size=1336786944B",
      [EV_RSS_STAT, 1336786944, 2773773409 | 0, 1, 1],
    ],
    ["rss_stat: mm_id=5 curr=0 type=MM_SHMEMPAGES size=-4096B", [EV_RSS_STAT, -4096, 5, 3, 0]],
    ["rss_stat: mm_id=5 curr=0 member=2 size=4096B", [EV_RSS_STAT, 4096, 5, 2, 0]],
    [
      "page_pool_state_hold: page_pool=1 netmem=2 is_net_iov=0, pfn=0x99 hold=7",
      [EV_POOL_HOLD, 0x99, 7, 0, 0],
    ],
    [
      "page_pool_state_release: page_pool=1 page=2 pfn=0x99 release=8",
      [EV_POOL_RELEASE, 0x99, 8, 0, 0],
    ],
    [
      "set_migration_pte: addr=7f0000001000, pte=8000000099000067 order=0",
      [EV_SET_MIGRATION, 0x99000, 0, 0xf0000001 | 0, 0],
    ],
    ["remove_migration_pte: addr=1000, pte=99067 order=9", [EV_REMOVE_MIGRATION, 0x99, 9, 1, 0]],
    [
      "mm_migrate_pages: nr_succeeded=31 nr_failed=1 nr_thp_succeeded=0 nr_thp_failed=0 nr_thp_split=0 nr_split=0 mode=MIGRATE_ASYNC reason=longterm_pin",
      [EV_MIGRATE_PAGES, -1, 31, 1, 7],
    ],
    ["mm_compaction_migratepages: nr_migrated=3 nr_failed=2", [EV_COMPACTION, -1, 3, 2, 0]],
    ["mm_collapse_huge_page: mm=1, isolated=1, status=succeeded", [EV_COLLAPSE, -1, 1, 1, 0]],
    [
      "mm_khugepaged_scan_pmd: mm=1, scan_pfn=0x99, writable=1, referenced=5, none_or_zero=6, status=page_null, unmapped=0",
      [EV_SCAN_PMD, 0x99, 12, 6, 0],
    ],
    [
      "mm_khugepaged_scan_file: mm=1, scan_pfn=0x99, filename=a b=c.so, present=4, swap=0, result=succeeded",
      [EV_SCAN_FILE, 0x99, 1, 4, 0],
    ],
    [
      "mm_khugepaged_collapse_file: mm=1, hpfn=0x99, index=0, addr=0, is_shmem=0, filename=x, nr=512, result=failed",
      [EV_COLLAPSE_FILE, 0x99, 0, 512, 0],
    ],
    [
      "mm_vmscan_write_folio: folio=1 pfn=0x99 flags=RECLAIM_WB_ANON|RECLAIM_WB_ASYNC",
      [EV_WRITE_FOLIO, 0x99, 9, 0, 0],
    ],
    [
      "mm_vmscan_writepage: page=1 pfn=0x99 flags=RECLAIM_WB_FILE|RECLAIM_WB_SYNC",
      [EV_WRITE_FOLIO, 0x99, 6, 0, 0],
    ],
    [
      "alloc_vmap_area: va_start: 18446683600609263616 size=20481 align=16384 vstart=0xffffc90000000000 vend=0xffffe8ffffffffff failed=0",
      [EV_VMAP_ALLOC, Number(18446683600609263616n >> 12n), 6, 0, 0],
    ],
    [
      "free_vmap_area_noflush: va_start=0xffffc90002590000 nr_lazy=5 nr_lazy_max=9",
      [EV_VMAP_FREE, 0xffffc90002590, 5, 0, 0],
    ],
    [
      "test_pages_isolated: start_pfn=0x100 end_pfn=0x200 fin_pfn=0x180 ret=fail",
      [EV_ISOLATED, 0x100, 0x200, 0x180, 0],
    ],
    [
      "mm_page_alloc: pfn=0x99 order=0 gfp_flags=0x440dc0 migratetype=0",
      [EV_ALLOC, 0x99, 0, 0x440dc0, 0],
    ],
  ];
  it.each(cases)("%s", async (line, [kind, ...columns]) => {
    expect(await one(line)).toEqual([at, kind, 1, 17283, ...columns]);
  });

  it("gfp flags by the kernel that is said", async () => {
    const line = "mm_page_alloc: page=1 pfn=0x99 order=0 migratetype=0 gfp_flags=GFP_ATOMIC";
    expect((await one(line, "5.15.0-91-generic"))[6]).toBe(0xa20);
    expect((await one(line, "6.1.0-18-amd64"))[6]).toBe(0xa20);
    expect((await one(line, "6.12.117"))[6]).toBe(0x820);
    expect((await one(line))[6]).toBe(0x820);
    expect((await one(line, "7.0"))[6]).toBe(0x820);
  });

  it("says which tables were taken, and not where the kernel is known", async () => {
    const unknown = await openText(`${HEAD}${FREE}\n`);
    expect(unknown.notes.map((n) => n.subject)).toEqual(["kernel"]);
    const known = await openText(`${HEAD}${FREE}\n`, { kernel: "6.1" });
    expect(known.notes).toEqual([]);
    expect(known.about.kernel).toBe("6.1");
    for (const kernel of ["6.1.192", "6.12-rc1", "6.18.44-fc", "6.18"])
      expect((await openText(`${HEAD}${FREE}\n`, { kernel })).notes).toEqual([]);
    for (const [kernel, table] of [
      ["5.15.0", "6.1"],
      ["6.8.0-45-generic", "6.12"],
      ["6.180", "6.18"],
      ["7.1.0", "6.18"],
    ] as const)
      expect((await openText(`${HEAD}${FREE}\n`, { kernel })).notes[0].text).toBe(
        `flags and results of ${kernel} are read by the tables of ${table}, the nearest that are known`,
      );
  });

  it("a flag that no table has is left out and named", async () => {
    const line =
      "mm_page_alloc: page=1 pfn=0x99 order=0 migratetype=0 gfp_flags=GFP_KERNEL|__GFP_NEW";
    const source = await openText(`${HEAD}${line}\n${HEAD}${line}\n`, { kernel: "6.18" });
    expect((await rowsOf(source))[1][6]).toBe(0xcc0);
    expect(source.notes).toEqual([
      {
        subject: "names",
        text: '2 lines with a flag or result that no table has, its bit left out; the first is line 1: "__GFP_NEW"',
      },
    ]);
  });
});

describe("heads of lines", () => {
  const heads: readonly [string, string, number, number, string, number][] = [
    ["trace_pipe", HEAD, 17283, 1, "task", at],
    ["no flags", "            task-17283   [001]  1111.954252: ", 17283, 1, "task", at],
    ["tgid", "            task-17283   (  17280) [001] d..1.  1111.954252: ", 17283, 1, "task", at],
    [
      "no tgid",
      "            task-17283   (-------) [001] d..1.  1111.954252: ",
      17283,
      1,
      "task",
      at,
    ],
    [
      "four digits of cpu",
      "            task-17283   [1023] d..1.  1111.954252: ",
      17283,
      1023,
      "task",
      at,
    ],
    [
      "nanoseconds",
      "            task-17283 [000] 14638.471183173: ",
      17283,
      0,
      "task",
      14_638_471_183_173,
    ],
    ["time difference", "            task-17283 [000] 1111.954252: (+12)  ", 17283, 0, "task", at],
    ["perf", "            task 17283 [000]  1111.954252:   kmem:", 17283, 0, "task", at],
    [
      "perf with pid/tid",
      "            task 17280/17283 [000]  1111.954252:   kmem:",
      17283,
      0,
      "task",
      at,
    ],
    [
      "perf with period",
      "            task 17283 [000]  1111.954252:   1   kmem:",
      17283,
      0,
      "task",
      at,
    ],
    ["perf, not aligned", "task 17283 [000]  1111.954252: kmem:", 17283, 0, "task", at],
    [
      "perf, not aligned, pid/tid",
      "a task 1/17283 [000]  1111.954252: kmem:",
      17283,
      0,
      "a task",
      at,
    ],
    ["perf without cpu", "            task 17283  1111.954252: kmem:", 17283, 0, "task", at],
    [
      "an instance's name",
      "w5inst:               ls-17283 [000] 1111.954252: ",
      17283,
      0,
      "ls",
      at,
    ],
    ["spaces cut off", "task-17283   [001] d..1.  1111.954252: ", 17283, 1, "task", at],
    [
      "spaces in a name",
      "       my task 1-17283   [001] d..1.  1111.954252: ",
      17283,
      1,
      "my task 1",
      at,
    ],
    [
      "brackets",
      "  a-1 [003] b: c-17283   [001] d..1.  1111.954252: ",
      17283,
      1,
      "a-1 [003] b: c",
      at,
    ],
    [
      "a whole head",
      "  x-1 [000] 5.0:-17283   [001] d..1.  1111.954252: ",
      17283,
      1,
      "x-1 [000] 5.0:",
      at,
    ],
    [
      "perf, digits",
      "     12 34 [056] 17283 [001]  1111.954252: kmem:",
      17283,
      1,
      "12 34 [056]",
      at,
    ],
    ["a dash", "            -bash-17283   [001] d..1.  1111.954252: ", 17283, 1, "-bash", at],
    ["no name", "                -17283   [001] d..1.  1111.954252: ", 17283, 1, "", at],
    ["idle", "          <idle>-0       [001] d..1.  1111.954252: ", 0, 1, "<idle>", at],
    [
      "the ring's format of latency",
      "    task-17283     1d..1. 1111954252us+: ",
      17283,
      1,
      "task",
      at,
    ],
    ["trace-cmd report -l", "    task-17283   1d..1  1111.954252: ", 17283, 1, "task", at],
  ];
  it.each(heads)("%s", async (_, head, pid, cpu, command, time) => {
    const source = await openText(`${head}${FREE}\n`);
    const rows = await rowsOf(source);
    expect(rows).toEqual([[time, EV_FREE, cpu, pid, 0x99, 3, 0, 0]]);
    expect(source.commands.get(pid) ?? "").toBe(command);
    expect(source.others.size).toBe(0);
  });

  it("a counter for a clock is taken as it is, and said", async () => {
    const source = await openText(`            task-17283   [001] .....  4711: ${FREE}\n`);
    expect((await rowsOf(source))[0][0]).toBe(4711);
    expect(source.notes.map((n) => n.subject)).toContain("clock");
  });

  it("which form it is", async () => {
    const form = async (text: string): Promise<string> => (await openText(text)).about.format;
    expect(await form(`# tracer: nop\n#\n${HEAD}${FREE}\n`)).toBe("trace_pipe");
    expect(await form(`${HEAD}${FREE}\n`)).toBe("trace_pipe");
    expect(await form(`cpus=4\n${HEAD}${FREE}\n`)).toBe("trace-cmd");
    expect(await form("            task 1 [000] 1.5: kmem:mm_page_free: pfn=0x99 order=3\n")).toBe(
      "perf",
    );
    expect((await openText(`cpus=4\n${HEAD}${FREE}\n`)).about.cpus).toBe(4);
  });

  it("what perf says before its events", async () => {
    const source = await openText(
      [
        "# ========",
        "# captured on    : Thu Nov 26 19:52:46 2026",
        "# os release : 6.1.0-18-amd64",
        "# nrcpus avail : 8",
        "# event : name = kmem:mm_page_free, , id = { 15, 16 }, type = 2",
        "# event : name = sched:sched_switch, , id = { 27, 28 }",
        "# cmdline : /usr/bin/perf record [001] 1.5: mm_page_free: pfn=1 order=1",
        "#",
        "            task 1 [000] 1.5: kmem:mm_page_free: pfn=0x99 order=3",
        "",
      ].join("\n"),
    );
    expect(source.about).toMatchObject({
      format: "perf",
      kernel: "6.1.0-18-amd64",
      cpus: 8,
      recorded: ["mm_page_free"],
    });
  });
});

describe("what stands between the events", () => {
  it("losses become events and are counted", async () => {
    const source = await openText(
      [
        "CPU:1 [LOST 447 EVENTS]",
        `${HEAD}${FREE}`,
        "CPU:0 [LOST EVENTS]",
        "CPU:3 [12 EVENTS DROPPED]",
        `${HEAD}${FREE}`,
        "[5 events lost]",
        "",
      ].join("\n"),
    );
    const rows = await rowsOf(source, 1);
    expect(rows.map((r) => [r[1], r[2], r[4]])).toEqual([
      [EV_LOST, 1, 447],
      [EV_FREE, 1, 0x99],
      [EV_LOST, 0, -1],
      [EV_LOST, 3, 12],
      [EV_FREE, 1, 0x99],
      [EV_LOST, 1, 5],
    ]);
    expect(rows.every((r) => r[0] === at)).toBe(true);
    expect(source.lost).toEqual([-1, 452, 0, 12]);
  });

  it("perf's losses, tasks and call chains", async () => {
    const source = await openText(
      [
        "            task 7 [002] 1.5: PERF_RECORD_LOST lost 12",
        "            task 7 [002] 1.5: PERF_RECORD_FORK(32:32):(2:2)",
        "            task 7 [002] 1.5: PERF_RECORD_COMM: x:32/32",
        "task 7 [002] 1.5: kmem:mm_page_free: pfn=0x99 order=3",
        "\tffffffff8162184b __alloc_frozen_pages_noprof+0x26b ([kernel.kallsyms])",
        "\t          16d87a __memmove+0x7a (/usr/lib/libc.so.6)",
        "\t               0 [unknown] ([unknown])",
        "",
        "task 7 [002] 1.5: kmem:mm_page_free: pfn=0x99 order=3 ffffffff815e3935 unmap_page_range",
        "",
      ].join("\n"),
    );
    expect((await rowsOf(source)).map((r) => r[1])).toEqual([EV_LOST, EV_FREE, EV_FREE]);
    expect(source.lost).toEqual([0, 0, 12]);
    expect([...source.others.keys()]).toEqual(["PERF_RECORD_FORK", "PERF_RECORD_COMM"]);
    expect(source.notes.map((n) => n.subject)).toEqual(["call chains", "kernel"]);
  });

  it("other events are counted by name, the function tracer's as one", async () => {
    const source = await openText(
      [
        `${HEAD}sched_switch: prev_comm=a prev_pid=1`,
        `${HEAD}sched_switch: prev_comm=a prev_pid=1`,
        `${HEAD}do_fault <-handle_mm_fault`,
        `${HEAD}tracing_mark_write: hello mm_page_alloc: pfn=1`,
        "",
      ].join("\n"),
    );
    expect(await rowsOf(source)).toEqual([]);
    expect([...source.others]).toEqual([
      ["sched_switch", 2],
      ["function", 1],
      ["tracing_mark_write", 1],
    ]);
  });

  it("lines that are no event are counted, the first is named", async () => {
    const source = await openText(
      `hello\n${HEAD}${FREE}\nwhat is this\n##### CPU 1 buffer started ####\n\nand that\n${HEAD}${FREE}\n`,
    );
    expect((await rowsOf(source)).length).toBe(2);
    expect(source.notes[0]).toEqual({
      subject: "lines",
      text: '3 lines no event, the first is line 1: "hello"',
    });
    expect(source.damage).toBe(null);
  });

  it("a time that goes back is raised, and said", async () => {
    const earlier = HEAD.replace("1111.954252", "1111.954000");
    const source = await openText(`${HEAD}${FREE}\n${earlier}${FREE}\n${earlier}${FREE}\n`);
    expect((await rowsOf(source)).map((r) => r[0])).toEqual([at, at, at]);
    expect(source.notes[0]).toEqual({
      subject: "time",
      text: "2 lines before the time of the line above, raised to it; the first is line 2",
    });
  });

  it("a buffer that did not keep all", async () => {
    const source = await openText(
      `# tracer: nop\n#\n# entries-in-buffer/entries-written: 311/986084   #P:2\n${HEAD}${FREE}\n`,
    );
    expect(source.notes[0].text).toContain("985773 older events");
  });

  it("an event without its frame is left out, without another field it is taken", async () => {
    const source = await openText(`${HEAD}mm_page_free: order=1\n${HEAD}mm_page_free: pfn=0x99\n`, {
      kernel: "6.18",
    });
    expect((await rowsOf(source)).map((r) => r[4])).toEqual([0x99]);
    expect(source.notes.map((n) => n.subject)).toEqual(["lines", "fields"]);
  });

  it("ends of line of another system", async () => {
    const source = await openText(`${HEAD}${FREE}\r\n${HEAD}mm_lru_activate: folio=1 pfn=0x98\r\n`);
    expect((await rowsOf(source)).map((r) => r[4])).toEqual([0x99, 0x98]);
  });

  it("a command that changes has the last name", async () => {
    const source = await openText(
      `${HEAD}${FREE}\n${HEAD.replace("task", "next")}${FREE}\n${HEAD.replace("    task-17283", "   <...>-17283")}${FREE}\n`,
    );
    await rowsOf(source);
    expect([...source.commands]).toEqual([[17283, "task"]]);
  });
});

describe("damage", () => {
  it("no event at all is refused", async () => {
    await expect(openText("hello\nworld\n")).rejects.toThrow(InputError);
    await expect(openText("")).rejects.toThrow("no line of this text is an event");
    await expect(openText(new Uint8Array(1_000_000))).rejects.toThrow(InputError);
    await expect(openText(new Uint8Array(1_000_000).fill(65))).rejects.toThrow("no end of line");
  });

  it("a text that ends in the middle of a line", async () => {
    const text = `${HEAD}${FREE}\n${HEAD}${FREE}`;
    for (let cut = HEAD.length + FREE.length + 2; cut < text.length; cut++) {
      const source = await openText(text.slice(0, cut));
      const rows = await rowsOf(source);
      const whole = cut >= text.length;
      expect(rows.length).toBe(whole ? 2 : 1);
      expect(source.damage).toEqual({
        where: "trace.txt, line 2",
        why: "the text ends in the middle of a line",
      });
    }
    const source = await openText(text);
    expect((await rowsOf(source)).length).toBe(2);
    expect(source.damage).toBe(null);
    expect(source.notes.map((n) => n.subject)).toContain("last line");
  });

  it("bytes that are no text end it", async () => {
    const source = await openText(`${HEAD}${FREE}\n\0\0\0\0\n${HEAD}${FREE}\n`);
    expect((await rowsOf(source)).length).toBe(1);
    expect(source.damage).toEqual({
      where: "trace.txt, line 2",
      why: "byte 0x00 in a line: not text",
    });
    const long = await openText(`${HEAD}${FREE}\n${"x".repeat(2_000_000)}`);
    expect((await rowsOf(long)).length).toBe(1);
    expect(long.damage?.where).toBe("trace.txt, line 2");
  });
});
