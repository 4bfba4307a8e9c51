/** Sources: folders, tars and captures by their content, and what cannot be read. */
import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { decompress } from "fzstd";
import { pack } from "tar-stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { classify } from "../../src/observe/classify/classify.js";
import { flagTotals } from "../../src/observe/classify/flag-totals.js";
import type { Snapshot } from "../../src/observe/snapshot.js";
import { canReadLive, openSource } from "../../src/observe/source.node.js";
import { byKind, FIXTURES, refusalOf, SHARED } from "./helpers.js";

const GUEST = join(FIXTURES, "guest-6.12");
const member = (name: string): Buffer => readFileSync(join(GUEST, name));
const plain = (name: string): Buffer => Buffer.from(decompress(member(`${name}.zst`)));
const PAGE_FILES = ["kpageflags", "kpagecount", "kpagecgroup"] as const;
const TEXTS = [
  "zoneinfo",
  "buddyinfo",
  "pagetypeinfo",
  "vmstat",
  "meminfo",
  "slabinfo",
  "vmallocinfo",
  "iomem",
  "version",
] as const;

let root: string;
let guest: Snapshot;
const at = (name: string): string => join(root, name);

/** A folder with these files. */
function folderOf(name: string, files: Readonly<Record<string, Uint8Array | string>>): string {
  for (const [file, content] of Object.entries(files)) {
    const path = join(at(name), file);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, content);
  }
  return at(name);
}

async function tarOf(
  files: Readonly<Record<string, Uint8Array>>,
  links: readonly string[] = [],
): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of Object.entries(files)) tar.entry({ name }, Buffer.from(content));
  for (const name of links) tar.entry({ name, type: "symlink", linkname: "elsewhere" });
  tar.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of tar) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

const sameButName = (s: Snapshot): unknown => ({ ...s, label: "", origin: "" });

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "memdesc-sources-"));
  guest = await openSource(GUEST);
});
afterAll(() => rmSync(root, { recursive: true }));

describe("the same files in another shape are the same snapshot", () => {
  it("plain, gzip and below proc/", async () => {
    const texts = Object.fromEntries(TEXTS.map((n) => [`proc/${n}`, member(n)]));
    const path = folderOf("below-proc", {
      ...texts,
      "proc/kpageflags": plain("kpageflags"),
      "proc/kpagecount.gz": gzipSync(plain("kpagecount")),
      "proc/kpagecgroup.zst": member("kpagecgroup.zst"),
    });
    expect(sameButName(await openSource(path))).toEqual(sameButName(guest));
  });

  it("as a tar, with ./ or a folder in front, plain members or packed, packed itself or not", async () => {
    const texts = Object.fromEntries(TEXTS.map((n) => [`./${n}`, member(n)]));
    const loose = await tarOf({
      ...Object.fromEntries(PAGE_FILES.map((n) => [`./${n}`, plain(n)])),
      ...texts,
    });
    const packed = await tarOf({
      "host/zoneinfo": member("zoneinfo"),
      ...Object.fromEntries(PAGE_FILES.map((n) => [`host/${n}.zst`, member(`${n}.zst`)])),
    });
    writeFileSync(at("a.tar"), loose);
    writeFileSync(at("a.bin"), gzipSync(loose));
    writeFileSync(at("b.tar"), packed);
    expect(sameButName(await openSource(at("a.tar")))).toEqual(sameButName(guest));
    expect(sameButName(await openSource(at("a.bin")))).toEqual(sameButName(guest));
    const b = await openSource(at("b.tar"));
    expect(b.origin).toBe("tar");
    expect(b.runs).toEqual(guest.runs);
    expect(b.notes.map((n) => n.subject)).toEqual(
      expect.arrayContaining(["meminfo", "vmstat", "btf"]),
    );
  });

  it("with /sys, where memory blocks are links", async () => {
    const sys = {
      "./sys/devices/system/memory/block_size_bytes": Buffer.from("8000000\n"),
      "./sys/devices/system/node/node0/meminfo": Buffer.from("x\n"),
      "./sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": Buffer.from("2\n"),
    };
    const links = [
      "./sys/devices/system/node/node0/memory0",
      "./sys/devices/system/node/node0/memory1",
    ];
    writeFileSync(
      at("sys.tar"),
      await tarOf({ "./kpageflags.zst": member("kpageflags.zst"), ...sys }, links),
    );
    const fromTar = await openSource(at("sys.tar"));
    expect(fromTar.nodeRanges).toEqual([{ node: 0, start: 0, end: 65_536 }]);
    expect(fromTar.hugePools).toMatchObject([{ node: null, total: 2 }]);
    const path = folderOf("sys", { "kpageflags.zst": member("kpageflags.zst"), ...sys });
    for (const link of links) symlinkSync("nowhere", join(path, link));
    expect((await openSource(path)).nodeRanges).toEqual(fromTar.nodeRanges);
  });

  it("flags alone, where only they are asked for", async () => {
    const flags = await openSource(GUEST, { pages: "flags-only" });
    expect([flags.hasMapcount, flags.hasCgroup]).toEqual([false, false]);
    expect(flagTotals(flags, { raw: true })).toEqual(flagTotals(guest, { raw: true }));
    expect(byKind(classify(flags).objects)).toEqual(byKind(classify(guest).objects));
  });
});

describe("a source that cannot be read is refused in one line", () => {
  const cases: readonly [what: string, make: () => string | Promise<string>, reason: RegExp][] = [
    ["nothing there", () => at("nothing"), /nothing: no such file/],
    ["a folder without kpageflags", () => folderOf("bare", { meminfo: "x" }), /without kpageflags/],
    [
      "an empty file",
      () => (writeFileSync(at("empty"), ""), at("empty")),
      /empty: byte 0: empty file/,
    ],
    [
      "some other file",
      () => (writeFileSync(at("other"), "hello world"), at("other")),
      /neither a capture nor a tar/,
    ],
    [
      "packed noise",
      () => (writeFileSync(at("noise.gz"), gzipSync("hello")), at("noise.gz")),
      /neither a capture nor a tar/,
    ],
    [
      "damaged gzip",
      () => (writeFileSync(at("bad.gz"), Buffer.of(0x1f, 0x8b, 8, 0, 1, 2, 3)), at("bad.gz")),
      /gzip/,
    ],
    [
      "damaged zstd",
      () => (
        writeFileSync(at("bad.zst"), Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3)),
        at("bad.zst")
      ),
      /zstd/,
    ],
    ["an empty kpageflags", () => folderOf("e", { kpageflags: "" }), /kpageflags: byte 0: empty/],
    [
      "a cut kpageflags",
      () => folderOf("cut", { kpageflags: plain("kpageflags").subarray(0, 1003) }),
      /kpageflags: byte 1000: ends 3 bytes into a word/,
    ],
    [
      "a kpageflags cut between words",
      () =>
        folderOf("cut8", {
          kpageflags: plain("kpageflags").subarray(0, 8000),
          zoneinfo: member("zoneinfo"),
        }),
      /kpageflags: byte 8000: ends at frame 1000, but zone/,
    ],
    [
      "a cut zstd member",
      () => folderOf("cutz", { "kpageflags.zst": member("kpageflags.zst").subarray(0, 900) }),
      /kpageflags\.zst: byte \d+: damaged zstd/,
    ],
    [
      "files that disagree",
      () =>
        folderOf("less", {
          kpageflags: plain("kpageflags"),
          kpagecount: plain("kpagecount").subarray(0, 800),
        }),
      /kpagecount: byte 800: covers 100 frames, .*kpageflags covers 65536/,
    ],
    [
      "a member twice",
      () =>
        folderOf("twice", {
          kpageflags: plain("kpageflags"),
          "kpageflags.zst": member("kpageflags.zst"),
        }),
      /a second kpageflags/,
    ],
    [
      "two zone tables that differ",
      () =>
        folderOf("zones", {
          kpageflags: plain("kpageflags"),
          zoneinfo: member("zoneinfo"),
          "proc/zoneinfo": "Node 0",
        }),
      /a second, different zoneinfo/,
    ],
    [
      "an absurd zone table",
      () =>
        folderOf("absurd", {
          kpageflags: plain("kpageflags"),
          zoneinfo: String(member("zoneinfo")).replace("present  61402", "present  61403"),
        }),
      /zoneinfo: line \d+: zone DMA32 of node 0 has 61403 pages present but spans only 61402/,
    ],
    [
      "a member that is a folder",
      () => (folderOf("dir/kpageflags", { x: "y" }), at("dir")),
      /not a regular file/,
    ],
    [
      "a cut tar",
      async () => (
        writeFileSync(
          at("cut.tar"),
          (await tarOf({ kpageflags: plain("kpageflags") })).subarray(0, 100_000),
        ),
        at("cut.tar")
      ),
      /cut\.tar: no whole tar/,
    ],
    [
      "a tar without kpageflags",
      async () => (
        writeFileSync(at("no.tar"), await tarOf({ meminfo: member("meminfo") })),
        at("no.tar")
      ),
      /no kpageflags/,
    ],
  ];
  it.each(cases)("%s", async (_what, make, reason) => {
    expect((await refusalOf(openSource(await make()))).message).toMatch(reason);
  });

  it("a pipe, alone or as a member, does not hang", async () => {
    const path = folderOf("piped", { meminfo: "x" });
    execFileSync("mkfifo", [join(path, "kpageflags"), at("fifo")]);
    expect((await refusalOf(openSource(at("fifo")))).message).toMatch(/is a pipe/);
    expect((await refusalOf(openSource(path))).message).toMatch(/not a regular file/);
  });

  it("a socket", async () => {
    const server = createServer();
    await new Promise<void>((done) => server.listen(at("socket"), done));
    expect((await refusalOf(openSource(at("socket")))).message).toMatch(/is a socket/);
    server.close();
  });

  it("never breaks the line, whatever the file is called", async () => {
    const error = await refusalOf(openSource(at("a\nb\u001b[31m")));
    expect(error.message).not.toContain("\n");
    expect(error.message).not.toContain("\u001b");
  });

  it("and says so of text it can do without", async () => {
    const path = at("partly");
    cpSync(GUEST, path, { recursive: true });
    rmSync(join(path, "kpagecgroup.zst"));
    rmSync(join(path, "vmstat"));
    writeFileSync(join(path, "slabinfo"), "nonsense");
    mkdirSync(join(path, "version.gz"));
    const snapshot = await openSource(path);
    expect([snapshot.hasCgroup, snapshot.vmstat, snapshot.slabinfo]).toEqual([false, null, null]);
    expect(snapshot.notes.map((n) => n.subject)).toEqual(
      expect.arrayContaining(["kpagecgroup", "vmstat", "slabinfo"]),
    );
  });
});

const live = canReadLive();
describe.skipIf(!live.ok)(`this machine${live.ok ? "" : ` (skipped: ${live.why})`}`, () => {
  it("reads as zones, pages and totals that hold together", async () => {
    const seen: number[] = [];
    const snapshot = await openSource(undefined, {
      onProgress: (done, total) => seen.push(done / total),
    });
    expect(snapshot.origin).toBe("live");
    expect(seen[seen.length - 1]).toBe(1);
    const sums = byKind(classify(snapshot).objects);
    const frames = Object.values(sums).reduce((n, s) => n + s.pages, 0);
    expect(frames).toBe(snapshot.frames);
    const present = snapshot.zones.reduce((n, z) => n + z.present, 0);
    expect(frames - (sums.absent?.pages ?? 0)).toBeGreaterThanOrEqual(present);
    const free =
      snapshot.buddyinfo?.reduce(
        (n, row) => n + row.free.reduce((m, blocks, order) => m + blocks * 2 ** order, 0),
        0,
      ) ?? 0;
    const ours = sums.free?.pages ?? 0;
    expect(Math.abs(ours - free)).toBeLessThan(0.2 * present);
  });
});

describe.skipIf(SHARED === null)(
  `more real data${SHARED === null ? " (skipped: set MEMDESC_SHARED)" : ""}`,
  () => {
    it.each(["before", "after"])(
      "the VM of the rich trace, %s it, decides every zone",
      async (when) => {
        const from = join(SHARED ?? "", "fixtures", "traces", "rich");
        const files: Record<string, Uint8Array> = {};
        for (const name of PAGE_FILES)
          files[`${name}.zst`] = readFileSync(join(from, `${name}.${when}.zst`));
        for (const name of TEXTS)
          if (existsSync(join(from, `${name}.${when}`)))
            files[name] = readFileSync(join(from, `${name}.${when}`));
        const { objects, reasons } = classify(await openSource(folderOf(`rich-${when}`, files)));
        expect(reasons.filter((r) => r.kind === "kernel")).toEqual([]);
        expect(byKind(objects).uninitialised?.pages).toBeGreaterThan(32_768);
        expect(byKind(objects).absent?.pages).toBe(262_144);
      },
    );
  },
);
