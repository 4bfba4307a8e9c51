/**
 * The three real machines: what the program makes of their pages is what is
 * known about them from elsewhere.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decompress } from "fzstd";
import { beforeAll, describe, expect, it } from "vitest";
import { classify } from "../../src/observe/classify/classify.js";
import { flagTotals } from "../../src/observe/classify/flag-totals.js";
import { readFolder } from "../../src/observe/files/folder.node.js";
import type { Kind } from "../../src/observe/kinds.js";
import type { Classification } from "../../src/observe/objects.js";
import type { Snapshot } from "../../src/observe/snapshot.js";
import { pageCount } from "../../src/units.js";
import { byKind, FIXTURES, perFrame } from "./helpers.js";

/** What page-types printed: flag word → pages, long names. */
function pageTypes(machine: string, file: string): Map<string, { pages: number; names: string }> {
  const rows = new Map<string, { pages: number; names: string }>();
  for (const line of readFileSync(join(FIXTURES, machine, file), "utf8").split("\n")) {
    const m = /^(0x[0-9a-f]{16})\s+(\d+)\s+\d+\s+\S+\t(.*)$/.exec(line);
    if (m) rows.set(m[1], { pages: Number(m[2]), names: m[3].trim() });
  }
  return rows;
}

/** Regions of a known map: name → frames. */
function knownMap(machine: string, file: string): Map<string, number[]> {
  const regions = new Map<string, number[]>();
  const text = new TextDecoder().decode(decompress(readFileSync(join(FIXTURES, machine, file))));
  for (const line of text.split("\n")) {
    const words = line.split(" ");
    if (words.length < 3) continue;
    const entry = BigInt(words[words.length - 1]);
    expect(entry >> 63n, `${words[0]} is present`).toBe(1n);
    const frames = regions.get(words[0]) ?? [];
    frames.push(Number(entry & ((1n << 55n) - 1n)));
    regions.set(words[0], frames);
  }
  return regions;
}

type Expected = Readonly<Record<string, Readonly<Partial<Record<Kind, number>>>>>;

const GUEST: Expected = {
  anon: { anon: 4096 },
  thp: { anon: 4096 },
  mlocked: { anon: 1024 },
  shmem: { shmem: 1024 },
  // Never written: every page maps the one zero page.
  zeropage: { zero: 1024 },
  tmpfsfile: { shmem: 1024 },
  diskfile_shared: { file: 2048 },
  // The written half was copied, the other half is still the page cache's.
  diskfile_private_first_half_cow: { anon: 1024, file: 1024 },
  ksm_4_values: { ksm: 1024 },
  hugetlb: { hugetlb: 512 },
};

const MACHINES: Readonly<
  Record<
    string,
    {
      maps: readonly string[];
      regions: Expected;
      huge: Readonly<Record<string, number>>;
      frames: number;
      tail: "own" | "folio";
      ksmUnknown: boolean;
    }
  >
> = {
  "guest-6.1": {
    maps: ["known-a.map.zst", "known-b.map.zst"],
    regions: GUEST,
    huge: { thp: 512, hugetlb: 512 },
    frames: 65_498,
    tail: "own",
    ksmUnknown: false,
  },
  "guest-6.12": {
    maps: ["known-a.map.zst", "known-b.map.zst"],
    // This kernel sets the KSM bit on every anonymous page, so ksm counts as anon.
    regions: { ...GUEST, ksm_4_values: { anon: 1024 } },
    huge: { thp: 512, hugetlb: 512 },
    frames: 65_498,
    tail: "folio",
    ksmUnknown: true,
  },
  "vm-6.18": {
    maps: ["known.map.zst"],
    regions: {
      anon16M_first4Mcow: { anon: 4096 },
      thp32M: { anon: 8192 },
      mlocked8M: { anon: 2048 },
      shmem8M: { shmem: 2048 },
      zeropage4M: { zero: 1024 },
      file8M: { file: 2048 },
      filecow8M: { anon: 1024, file: 1024 },
      hugetlb4M: { hugetlb: 1024 },
    },
    huge: { thp32M: 512, hugetlb4M: 512, file8M: 512 },
    frames: 6_291_456,
    tail: "folio",
    ksmUnknown: false,
  },
};

describe.each(Object.keys(MACHINES))("%s", (machine) => {
  const known = MACHINES[machine];
  let snapshot: Snapshot;
  let classes: Classification;

  beforeAll(async () => {
    snapshot = await readFolder(join(FIXTURES, machine));
    classes = classify(snapshot);
  });

  it.each([
    ["page-types-r.txt", true],
    ["page-types.txt", false],
  ] as const)("flag totals are those of %s, to the page and the name", (file, raw) => {
    const theirs = pageTypes(machine, file);
    const ours = new Map(
      flagTotals(snapshot, { raw }).map((t) => [
        `0x${t.hi.toString(16).padStart(8, "0")}${t.lo.toString(16).padStart(8, "0")}`,
        { pages: t.pages, names: t.names.join(",") },
      ]),
    );
    expect(ours.size).toBeGreaterThan(20);
    expect(Object.fromEntries(ours)).toEqual(Object.fromEntries(theirs));
  });

  it.each(known.maps)("frames of the regions in %s have the kind of their region", (file) => {
    const { kind, pages } = perFrame(classes.objects, snapshot.frames);
    const found: Record<string, Partial<Record<Kind, number>>> = {};
    const sizes: Record<string, Set<number>> = {};
    for (const [region, frames] of knownMap(machine, file)) {
      const counts = (found[region] = {} as Partial<Record<Kind, number>>);
      for (const frame of frames) counts[kind[frame]] = (counts[kind[frame]] ?? 0) + 1;
      sizes[region] = new Set(frames.map((f) => pages[f]));
    }
    expect(found).toEqual(known.regions);
    for (const [region, size] of Object.entries(known.huge)) {
      expect([region, sizes[region]]).toEqual([region, new Set([size])]);
    }
  });

  it("counts the machine's frames, and every frame once", () => {
    const sums = byKind(classes.objects);
    const all = Object.values(sums).reduce((n, s) => n + s.pages, 0);
    expect(all).toBe(snapshot.frames);
    expect(all - (sums.absent?.pages ?? 0)).toBe(known.frames);
  });

  it("tells the dialect of tails and whether ksm can be told", () => {
    expect(classes.tailFlags).toBe(known.tail);
    expect(classes.ksmUnknown).toBe(known.ksmUnknown);
  });

  it("finds the release, both zones' totals and the kernel's own counters", () => {
    expect(snapshot.kernel).toMatch(/^6\.(1|12|18)\./);
    expect(snapshot.zones.map((z) => z.name)).toEqual([
      "DMA",
      "DMA32",
      "Normal",
      "Movable",
      "Device",
    ]);
    expect(snapshot.cpus).toBe(2);
    expect(snapshot.vmstat?.["nr_free_pages"]).toBeGreaterThan(0);
    expect(snapshot.meminfo?.["MemTotal"]).toBeGreaterThan(2 ** 27);
    expect(snapshot.slabinfo?.length).toBeGreaterThan(50);
    expect(snapshot.vmalloc?.pages).toBeGreaterThan(0);
    expect(snapshot.buddyinfo?.length).toBeGreaterThan(1);
    expect(snapshot.pagetypeinfo?.some((r) => r.blocks !== null && r.blocks > 0)).toBe(true);
  });

  it("keeps objects naturally aligned and joins equal neighbours", () => {
    const { objects } = classes;
    for (let i = 0; i < objects.length; i++) {
      expect(objects.start[i] % objects.pages[i]).toBe(0);
      if (i === 0) continue;
      const same =
        objects.kind[i] === objects.kind[i - 1] &&
        objects.pages[i] === objects.pages[i - 1] &&
        objects.headFlags[i] === objects.headFlags[i - 1] &&
        objects.tailFlags[i] === objects.tailFlags[i - 1] &&
        objects.mapcount[i] === objects.mapcount[i - 1] &&
        objects.cgroup[i] === objects.cgroup[i - 1];
      expect(same).toBe(false);
    }
  });
});

describe("what no flag says", () => {
  it("finds no frame uninitialised and nothing torn where the machine stood still", async () => {
    for (const machine of ["guest-6.1", "guest-6.12"]) {
      const { objects, torn, reasons } = classify(await readFolder(join(FIXTURES, machine)));
      expect(byKind(objects).uninitialised).toBeUndefined();
      expect(torn.frames).toBe(0);
      // 65,536 entries, of which 38 lie past the last frame.
      expect(reasons).toEqual([
        { start: 65_498, end: 65_536, kind: "absent", why: "beyond the end of the last zone" },
      ]);
    }
  });

  const hole = { start: 0xc0000, end: 0x100000, kind: "absent" };
  const lazy = { start: 0x210000, end: 0x640000, kind: "uninitialised" };

  it("finds the hole and the never-initialised frames of the VM exactly, with and without iomem", async () => {
    const snapshot = await readFolder(join(FIXTURES, "vm-6.18"));
    for (const s of [snapshot, { ...snapshot, ram: null }]) {
      const { objects, reasons } = classify(s);
      expect(byKind(objects).uninitialised?.pages).toBe(4_390_912);
      expect(byKind(objects).absent?.pages).toBe(262_144);
      expect(reasons).toMatchObject([hole, lazy]);
    }
  });

  // 5 too many would take frames that do not read 0, 5 too few would begin
  // inside a section.
  it.each([-5, 5])("guesses nothing where managed is off by %i", async (off) => {
    const snapshot = await readFolder(join(FIXTURES, "vm-6.18"));
    const zones = snapshot.zones.map((z) =>
      z.name === "Normal" ? { ...z, managed: pageCount(z.managed + off) } : z,
    );
    for (const ram of [snapshot.ram, null]) {
      const { objects, reasons } = classify({ ...snapshot, zones, ram });
      expect(byKind(objects).uninitialised).toBeUndefined();
      const undecided = reasons.filter((r) => r.kind === "kernel");
      expect(undecided.map((r) => r.why.split(":")[0])).toEqual(["not decided"]);
    }
  });
});
