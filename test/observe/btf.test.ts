/** BTF: hand-made types of every kind, real kernels, and damage. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { decompress } from "fzstd";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Btf, BTF_KIND as K } from "../../src/observe/btf/btf.js";
import { btfSizes } from "../../src/observe/btf/btf-sizes.js";
import type { Note } from "../../src/observe/snapshot.js";
import { refusal, refusedOrRead, SHARED } from "./helpers.js";

interface MadeType {
  readonly kind: number;
  readonly name?: string;
  readonly vlen?: number;
  readonly flag?: boolean;
  /** Size or type id. */
  readonly value?: number;
  /** Words after the head; a string is put into the strings. */
  readonly rest?: readonly (number | string)[];
}

/** A BTF blob of these types, ids from 1. */
function blob(types: readonly MadeType[], little = true): Uint8Array {
  const strings: number[] = [0];
  const places = new Map<string, number>([["", 0]]);
  const place = (text: string): number => {
    const known = places.get(text);
    if (known !== undefined) return known;
    const at = strings.length;
    places.set(text, at);
    for (const ch of text) strings.push(ch.charCodeAt(0));
    strings.push(0);
    return at;
  };
  const words: number[] = [];
  for (const t of types) {
    const info = ((t.flag === true ? 0x80000000 : 0) | (t.kind << 24) | (t.vlen ?? 0)) >>> 0;
    words.push(
      place(t.name ?? ""),
      info,
      t.value ?? 0,
      ...(t.rest ?? []).map((w) => (typeof w === "string" ? place(w) : w >>> 0)),
    );
  }
  const bytes = new Uint8Array(24 + words.length * 4 + strings.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 0xeb9f, little);
  bytes[2] = 1;
  [24, 0, words.length * 4, words.length * 4, strings.length].forEach((w, i) =>
    view.setUint32(4 + 4 * i, w, little),
  );
  words.forEach((w, i) => view.setUint32(24 + 4 * i, w, little));
  bytes.set(strings, 24 + words.length * 4);
  return bytes;
}

/** One type of each kind, in the order of their numbers, then what uses them. */
const EVERY: readonly MadeType[] = [
  { kind: K.INT, name: "unsigned long", value: 8, rest: [64] },
  { kind: K.PTR, value: 4 },
  { kind: K.ARRAY, rest: [1, 1, 3] },
  {
    kind: K.STRUCT,
    name: "page",
    vlen: 4,
    value: 64,
    rest: ["flags", 8, 0, "", 5, 64, "next", 2, 192, "list", 3, 256],
  },
  { kind: K.UNION, vlen: 2, value: 16, rest: ["lru", 3, 0, "head", 2, 0] },
  { kind: K.ENUM, name: "zone_type", vlen: 2, value: 4, rest: ["ZONE_DMA", 0, "ZONE_NORMAL", 2] },
  { kind: K.FWD, name: "kmem_cache" },
  { kind: K.TYPEDEF, name: "memdesc_flags_t", value: 20 },
  { kind: K.VOLATILE, value: 1 },
  { kind: K.CONST, value: 9 },
  { kind: K.RESTRICT, value: 2 },
  { kind: K.FUNC, name: "folio_put", value: 13 },
  { kind: K.FUNC_PROTO, vlen: 1, rest: ["folio", 2] },
  { kind: K.VAR, name: "zero", value: 1, rest: [1] },
  { kind: K.DATASEC, name: ".data", vlen: 1, value: 8, rest: [14, 0, 8] },
  { kind: K.FLOAT, name: "double", value: 8 },
  { kind: K.DECL_TAG, name: "tag", value: 4, rest: [0xffffffff] },
  { kind: K.TYPE_TAG, name: "rcu", value: 4 },
  {
    kind: K.ENUM64,
    name: "wide",
    flag: true,
    vlen: 2,
    value: 8,
    rest: ["BIG", 1, 1, "MINUS", 0xffffffff, 0xffffffff],
  },
  { kind: K.STRUCT, vlen: 1, value: 8, rest: ["f", 10, 0] },
  {
    kind: K.STRUCT,
    name: "slab",
    flag: true,
    vlen: 3,
    value: 8,
    rest: ["inuse", 1, (16 << 24) | 0, "objects", 1, (15 << 24) | 16, "frozen", 1, (1 << 24) | 31],
  },
];

describe.each([
  ["little", true],
  ["big", false],
] as const)("a %s-endian blob with every kind", (_name, little) => {
  const btf = new Btf(blob(EVERY, little));
  const id = (name: string): number => btf.find(name) ?? -1;

  it("is read whole", () => {
    expect(btf.notes).toEqual([]);
    expect(Array.from({ length: 19 }, (_, i) => btf.kindOf(i + 1))).toEqual(
      Array.from({ length: 19 }, (_, i) => i + 1),
    );
  });

  it("gives sizes through typedefs, qualifiers, arrays and pointers", () => {
    expect(btf.sizeOf(id("page"))).toBe(64);
    expect(btf.sizeOf(id("memdesc_flags_t"))).toBe(8);
    expect([btf.sizeOf(2), btf.sizeOf(3), btf.sizeOf(10), btf.sizeOf(14)]).toEqual([8, 24, 8, 8]);
    expect([btf.sizeOf(0), btf.sizeOf(7), btf.sizeOf(12)]).toEqual([null, null, null]);
  });

  it("gives members with offsets, anonymous ones looked through", () => {
    expect(btf.fieldsOf(id("page"))).toEqual([
      { name: "flags", offset: 0, size: 8 },
      { name: "lru", offset: 8, size: 24 },
      { name: "head", offset: 8, size: 8 },
      { name: "next", offset: 24, size: 8 },
      { name: "list", offset: 32, size: 24 },
    ]);
    expect(btf.membersOf(id("slab")).map((m) => [m.name, m.bitOffset, m.bitSize])).toEqual([
      ["inuse", 0, 16],
      ["objects", 16, 15],
      ["frozen", 31, 1],
    ]);
  });

  it("gives enums, signed 64-bit ones too", () => {
    expect(btf.enumOf("zone_type")).toEqual({ ZONE_DMA: 0, ZONE_NORMAL: 2 });
    expect(btf.enumOf("wide")).toEqual({ BIG: 2 ** 32 + 1, MINUS: -1 });
  });
});

describe("what BTF may not be", () => {
  it("an unknown kind ends the reading with a note, and keeps what came before", () => {
    const notes: Note[] = [];
    expect(btfSizes(blob([...EVERY, { kind: 25, name: "later" }]), "btf", notes)).toMatchObject({
      page: 64,
      slab: 8,
    });
    expect(notes[0].text).toMatch(/kind 25, which is not known/);
  });

  it("a type that contains itself has no size and no end of members", () => {
    const btf = new Btf(
      blob([
        { kind: K.TYPEDEF, name: "loop", value: 1 },
        { kind: K.STRUCT, name: "self", vlen: 1, value: 8, rest: ["", 2, 0] },
      ]),
    );
    expect(btf.sizeOf(1)).toBeNull();
    expect(btf.fieldsOf(2)).toEqual([]);
  });

  it("cut anywhere it is refused, naming the place", () => {
    const whole = blob(EVERY);
    for (let n = 0; n < whole.length; n++)
      expect(refusal(() => new Btf(whole.slice(0, n))).file).toBe("btf");
  });

  it("with any word changed it is read or refused, never anything else", () => {
    const whole = blob(EVERY);
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, value) => {
        const changed = whole.slice();
        changed[at] = value;
        return refusedOrRead(() => btfSizes(changed, "btf", []));
      }),
      { numRuns: 2000 },
    );
  });

  it("another version or magic is refused by name", () => {
    const other = blob(EVERY);
    other[2] = 9;
    expect(refusal(() => new Btf(other)).message).toMatch(/BTF version 9/);
    expect(refusal(() => new Btf(new Uint8Array(100))).message).toMatch(/magic 0xeb9f/);
  });
});

describe("real kernels", () => {
  const live = "/sys/kernel/btf/vmlinux";
  it.skipIf(!existsSync(live))("the running one: page, folio and their fields", () => {
    const btf = new Btf(readFileSync(live), live);
    const page = btf.find("page") ?? -1;
    expect(btf.notes).toEqual([]);
    const fields = new Map(btf.fieldsOf(page).map((f) => [f.name, f.offset]));
    expect([
      fields.get("flags"),
      fields.get("lru"),
      fields.get("compound_head"),
      fields.get("mapping"),
    ]).toEqual([0, 8, 8, 24]);
    expect(btf.sizeOf(page) ?? 0).toBeGreaterThanOrEqual(56);
  });

  it.skipIf(SHARED === null).each([
    ["6.1", { page: 64, folio: 112, slab: 64 }],
    ["6.12", { page: 64, folio: 256, slab: 64, ptdesc: 64 }],
  ])("Debian's %s", (series, sizes) => {
    const path = join(SHARED ?? "", "fixtures", `guest-256M-linux-${series}`, "btf.zst");
    const notes: Note[] = [];
    expect(btfSizes(decompress(readFileSync(path)), "btf", notes)).toMatchObject(sizes);
    expect(notes).toEqual([]);
  });
});
