/**
 * The JSON header of a capture ⇄ everything of a snapshot but its page runs.
 *
 * Rule 6: a header is read field by field and never trusted: a wrong type, a
 * negative count, a range that ends before it begins or an impossible zone
 * table is an InputError, even where the checksum is right. Not kept: the
 * label (it may be a path with a user's name). What a snapshot never held
 * (build host, addresses of vmalloc areas and devices) cannot be here.
 */
import { bytes, nodeId, pageCount, pfn } from "../../units.js";
import { InputError } from "../input-error.js";
import { MAX_CGROUPS, MAX_FLAG_WORDS, MAX_FRAMES } from "../page-runs-builder.js";
import type {
  BuddyInfo,
  FlagWords,
  HugePool,
  NodeRange,
  Note,
  PageTypeInfo,
  PfnRange,
  SlabInfo,
  Snapshot,
  VmallocInfo,
  ZoneInfo,
} from "../snapshot.js";
import { MAX_NODE, refuseImpossible } from "../procfs/zoneinfo.js";

export type SnapshotHeader = Omit<Snapshot, "runs" | "label" | "origin">;

/** Lengths of the columns in the packed part, in runs and bytes. */
export interface ColumnLengths {
  readonly runs: number;
  readonly start: number;
  readonly flags: number;
  readonly mapcount: number;
  readonly cgroup: number;
}

/** The header as it is written. */
export function headerJson(snapshot: Snapshot, columns: ColumnLengths): string {
  const { runs: _runs, label: _label, origin, flagWords, ...rest } = snapshot;
  const words = Array.from({ length: flagWords.length }, (_, i) => [
    flagWords.lo[i],
    flagWords.hi[i],
  ]);
  return JSON.stringify({ columns, source: origin, ...rest, flagWords: words });
}

/** Reads a header; throws InputError naming the field. */
export function readHeader(
  json: string,
  file: string,
): { header: SnapshotHeader; columns: ColumnLengths } {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new InputError(
      { file },
      "its header is no JSON",
      "the file is no capture of this program",
    );
  }
  const top = new Field(value, "header", file);
  const columns = top.at("columns");
  const header: SnapshotHeader = {
    kernel: top.at("kernel").orNull((f) => f.text()),
    frames: pageCount(top.at("frames").count(MAX_FRAMES)),
    flagWords: flagWordsOf(top.at("flagWords")),
    cgroups: top.at("cgroups").list((f) => f.count(Number.MAX_VALUE), MAX_CGROUPS),
    hasMapcount: top.at("hasMapcount").flag(),
    hasCgroup: top.at("hasCgroup").flag(),
    zones: top.at("zones").list(zoneOf),
    ram: top.at("ram").orNull((f) => f.list(rangeOf)),
    nodeRanges: top.at("nodeRanges").orNull((f) => f.list(nodeRangeOf)),
    cpus: Math.max(1, top.at("cpus").count(1 << 20)),
    vmstat: top.at("vmstat").orNull((f) => f.counts()),
    meminfo: top.at("meminfo").orNull((f) => f.counts()),
    buddyinfo: top.at("buddyinfo").orNull((f) => f.list(buddyOf)),
    pagetypeinfo: top.at("pagetypeinfo").orNull((f) => f.list(pageTypeOf)),
    slabinfo: top.at("slabinfo").orNull((f) => f.list(slabOf)),
    vmalloc: top.at("vmalloc").orNull(vmallocOf),
    hugePools: top.at("hugePools").orNull((f) => f.list(poolOf)),
    structSizes: top.at("structSizes").orNull((f) => f.counts()),
    notes: top.at("notes").list(noteOf),
  };
  if (header.cgroups[0] !== 0)
    throw new InputError({ file }, "header.cgroups does not begin with 0");
  if (header.zones.length === 0) throw new InputError({ file }, "header.zones is empty");
  refuseImpossible(header.zones, () => ({ file }));
  const length = (name: string): number => columns.at(name).count();
  return {
    header,
    columns: {
      runs: length("runs"),
      start: length("start"),
      flags: length("flags"),
      mapcount: length("mapcount"),
      cgroup: length("cgroup"),
    },
  };
}

/** One value of the header with its path, to be read as what it must be. */
class Field {
  private readonly value: unknown;
  private readonly path: string;
  private readonly file: string;

  constructor(value: unknown, path: string, file: string) {
    this.value = value;
    this.path = path;
    this.file = file;
  }

  refuse(what: string): never {
    throw new InputError(
      { file: this.file },
      `${this.path} is not ${what}`,
      "the file was not written by this program",
    );
  }

  at(name: string): Field {
    const { value } = this;
    if (typeof value !== "object" || value === null || Array.isArray(value))
      this.refuse("an object");
    const inner: unknown = Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined;
    return new Field(inner, `${this.path}.${name}`, this.file);
  }

  orNull<T>(read: (field: Field) => T): T | null {
    return this.value === null ? null : read(this);
  }

  count(most = Number.MAX_SAFE_INTEGER): number {
    const { value } = this;
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > most)
      this.refuse("a count in range");
    return value;
  }

  text(): string {
    const { value } = this;
    if (typeof value !== "string" || value.length > 4096) this.refuse("a short text");
    return value;
  }

  flag(): boolean {
    const { value } = this;
    if (typeof value !== "boolean") this.refuse("true or false");
    return value;
  }

  list<T>(read: (field: Field) => T, most = 1 << 20): T[] {
    const { value } = this;
    if (!Array.isArray(value) || value.length > most) this.refuse(`a list of at most ${most}`);
    return value.map((inner: unknown, i) =>
      read(new Field(inner, `${this.path}[${i}]`, this.file)),
    );
  }

  counts(): Record<string, number> {
    const { value } = this;
    if (typeof value !== "object" || value === null || Array.isArray(value))
      this.refuse("an object");
    return Object.fromEntries(Object.keys(value).map((name) => [name, this.at(name).count()]));
  }
}

const HALF = 2 ** 32 - 1;

function flagWordsOf(field: Field): FlagWords {
  const pairs = field.list((f) => f.list((g) => g.count(HALF), 2), MAX_FLAG_WORDS);
  if (pairs.some((p) => p.length !== 2)) field.refuse("a list of pairs");
  return {
    length: pairs.length,
    lo: Uint32Array.from(pairs, (p) => p[0]),
    hi: Uint32Array.from(pairs, (p) => p[1]),
  };
}

function zoneOf(f: Field): ZoneInfo {
  const pages = (name: string): ReturnType<typeof pageCount> => pageCount(f.at(name).count());
  return {
    node: nodeId(f.at("node").count(MAX_NODE)),
    name: f.at("name").text(),
    start: pfn(f.at("start").count(2 ** 32)),
    spanned: pages("spanned"),
    present: pages("present"),
    managed: pages("managed"),
    free: pages("free"),
    min: pages("min"),
    low: pages("low"),
    high: pages("high"),
    protection: f.at("protection").list((g) => g.count()),
    cpus: f.at("cpus").list((g) => ({
      count: g.at("count").count(),
      high: g.at("high").count(),
      batch: g.at("batch").count(),
    })),
  };
}

function rangeOf(f: Field): PfnRange {
  const start = f.at("start").count(2 ** 32);
  const end = f.at("end").count(2 ** 32);
  if (end < start) f.refuse("a range");
  return { start: pfn(start), end: pfn(end) };
}

const nodeRangeOf = (f: Field): NodeRange => ({
  ...rangeOf(f),
  node: nodeId(f.at("node").count(MAX_NODE)),
});

const buddyOf = (f: Field): BuddyInfo => ({
  node: nodeId(f.at("node").count(MAX_NODE)),
  zone: f.at("zone").text(),
  free: f.at("free").list((g) => g.count(), 64),
});

const pageTypeOf = (f: Field): PageTypeInfo => ({
  node: nodeId(f.at("node").count(MAX_NODE)),
  zone: f.at("zone").text(),
  migrateType: f.at("migrateType").text(),
  free: f.at("free").list((g) => g.count(), 64),
  blocks: f.at("blocks").orNull((g) => g.count()),
});

const slabOf = (f: Field): SlabInfo => ({
  name: f.at("name").text(),
  activeObjects: f.at("activeObjects").count(),
  objects: f.at("objects").count(),
  objectSize: f.at("objectSize").count(),
  objectsPerSlab: f.at("objectsPerSlab").count(),
  pagesPerSlab: f.at("pagesPerSlab").count(),
  slabs: f.at("slabs").count(),
});

const vmallocOf = (f: Field): VmallocInfo => ({
  areas: f.at("areas").count(),
  pages: pageCount(f.at("pages").count()),
});

const poolOf = (f: Field): HugePool => ({
  node: f.at("node").orNull((g) => nodeId(g.count(MAX_NODE))),
  size: bytes(f.at("size").count()),
  total: f.at("total").count(),
  free: f.at("free").count(),
  surplus: f.at("surplus").count(),
});

const noteOf = (f: Field): Note => ({ subject: f.at("subject").text(), text: f.at("text").text() });
