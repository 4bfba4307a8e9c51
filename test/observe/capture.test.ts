/** Captures: what goes in comes out, and nothing that is not what was written is read. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeCapture, encodeCapture } from "../../src/observe/capture/capture.js";
import {
  nodeCodec,
  readSnapshotFile,
  writeCapture,
} from "../../src/observe/capture/capture.node.js";
import { classify } from "../../src/observe/classify/classify.js";
import { readFolder } from "../../src/observe/files/folder.node.js";
import type { Snapshot } from "../../src/observe/snapshot.js";
import { openSource, readBundled } from "../../src/observe/source.node.js";
import { byKind, FIXTURES, MACHINES, made, refusalOf } from "./helpers.js";

const decode = (bytes: Uint8Array): Promise<unknown> =>
  decodeCapture(bytes, "x.memdesc", nodeCodec);

/** A capture with these fields of its head and header changed, digests made anew. */
async function forged(
  bytes: Uint8Array,
  change: (head: DataView) => void,
  header?: (json: string) => string,
): Promise<Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = 96 + view.getUint32(12, true);
  const json = new TextDecoder().decode(
    await nodeCodec.inflate(bytes.subarray(96, end), view.getUint32(16, true)),
  );
  const text = new TextEncoder().encode(header ? header(json) : json);
  const packed = await nodeCodec.deflate(text);
  const columns = bytes.subarray(end);
  const out = new Uint8Array(96 + packed.length + columns.length);
  out.set(bytes.subarray(0, 32));
  const head = new DataView(out.buffer);
  head.setUint32(12, packed.length, true);
  head.setUint32(16, text.length, true);
  change(head);
  const first = await nodeCodec.sha256([out.subarray(0, 32), packed]);
  out.set(first, 32);
  out.set(await nodeCodec.sha256([first, columns]), 64);
  out.set(packed, 96);
  out.set(columns, 96 + packed.length);
  return out;
}

let folder: string;
let small: Uint8Array;
let guest: Snapshot;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "memdesc-capture-"));
  guest = await readFolder(join(FIXTURES, "guest-6.12"));
  const runs = [
    { pages: 5, flags: ["BUDDY"] },
    { pages: 1, flags: ["SLAB", "PRIVATE"], mapcount: 3, cgroup: 77 },
  ] as const;
  small = await encodeCapture(made(runs), nodeCodec);
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("a capture", () => {
  it.each(MACHINES)("of %s is the snapshot it was made of", async (machine) => {
    const snapshot = await readFolder(join(FIXTURES, machine));
    const path = join(folder, `${machine}.memdesc`);
    const { bytes } = await writeCapture(path, snapshot);
    expect(bytes).toBe(readFileSync(path).length);
    expect(bytes).toBeLessThan(120_000);
    const back = await openSource(path);
    expect(back).toEqual({ ...snapshot, label: path, origin: "capture" });
  });

  it("holds no label, no build host and no address", async () => {
    const secret = { ...guest, label: "/home/alice/secret-host" };
    const json = Buffer.from(
      (await nodeCodec
        .inflate((await encodeCapture(secret, nodeCodec)).subarray(96), 10_000_000)
        .valueOf()) as Uint8Array,
    ).toString();
    expect(json).not.toMatch(/alice|secret-host|Debian|0x[0-9a-f]{8}|PCI/);
    expect(json).toMatch(/6\.12\.117/);
  });

  it("comes with the package: the 24 GiB machine", async () => {
    const snapshot = await readBundled("no root");
    expect(snapshot.origin).toBe("bundled");
    expect(snapshot.notes[0]).toEqual({ subject: "this machine", text: "not read: no root" });
    expect(byKind(classify(snapshot).objects).uninitialised?.pages).toBe(4_390_912);
  });

  it("is refused when cut anywhere, naming file and offset", async () => {
    for (let length = 0; length < small.length; length++) {
      const error = await refusalOf(decode(small.slice(0, length)));
      expect(error.file).toBe("x.memdesc");
      expect(error.offset).not.toBeNull();
    }
  });

  it("is refused when any byte is changed", async () => {
    for (let at = 0; at < small.length; at++) {
      const changed = small.slice();
      changed[at] ^= 1 << (at % 8);
      const error = await refusalOf(decode(changed));
      expect(error.offset).not.toBeNull();
    }
  });

  it("of a real machine is refused when cut or changed", async () => {
    const bytes = await encodeCapture(guest, nodeCodec);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(bytes.length - 1),
        fc.integer({ min: 1, max: 255 }),
        async (at, flip) => {
          await refusalOf(decode(bytes.slice(0, at)));
          const changed = bytes.slice();
          changed[at] ^= flip;
          await refusalOf(decode(changed));
        },
      ),
      { numRuns: 150 },
    );
    await refusalOf(decode(Uint8Array.of(...bytes, 0)));
  });

  it("of another version is refused by name", async () => {
    const next = await forged(small, (head) => head.setUint32(8, 2, true));
    expect((await refusalOf(decode(next))).message).toBe(
      "x.memdesc: byte 8: capture version 2 is not known (this program reads version 1)",
    );
  });

  it("that would unpack to more than it can is refused before it is unpacked", async () => {
    for (const at of [16, 24]) {
      const bomb = await forged(small, (head) => head.setUint32(at, 0x7fffffff, true));
      expect((await refusalOf(decode(bomb))).message).toMatch(/cannot unpack to 2147483647/);
    }
  });

  const lies: readonly [what: string, change: (json: string) => string, reason: RegExp][] = [
    [
      "frames that its runs do not cover",
      (j) => j.replace('"frames":6', '"frames":7'),
      /runs cover 6 frames, the header says 7/,
    ],
    [
      "fewer frames than its runs",
      (j) => j.replace('"frames":6', '"frames":5'),
      /frames that are not there/,
    ],
    ["a negative count", (j) => j.replace('"cpus":1', '"cpus":-1'), /header\.cpus is not a count/],
    [
      "runs that its columns cannot hold",
      (j) => j.replace('"runs":2', '"runs":400000000'),
      /cannot be in columns/,
    ],
    [
      "no flag words",
      (j) => j.replace(/"flagWords":\[\[.*?\]\]/, '"flagWords":[]'),
      /flag word 0, which is not there/,
    ],
    ["an impossible zone", (j) => j.replace('"managed":6', '"managed":600'), /600 pages managed/],
    [
      "a zone table that is none",
      (j) => j.replace(/"zones":\[.*?\}\]/, '"zones":7'),
      /header\.zones is not a list/,
    ],
    ["no JSON", () => "{", /no JSON/],
  ];
  it.each(lies)("with a right checksum but %s is refused", async (_what, change, reason) => {
    const lie = await forged(
      small,
      () => undefined,
      (json) => {
        const changed = change(json);
        expect(changed).not.toBe(json);
        return changed;
      },
    );
    expect((await refusalOf(decode(lie))).message).toMatch(reason);
  });
});

describe("writing", () => {
  it("leaves nothing behind where it fails, and no file half written", async () => {
    const into = join(folder, "not-there", "x.memdesc");
    expect((await refusalOf(writeCapture(into, guest))).message).toMatch(
      /cannot be written: no such file or folder/,
    );
    expect((await refusalOf(writeCapture(folder, guest))).message).toMatch(/no regular file/);
    expect(readdirSync(folder).filter((n) => n.endsWith(".tmp"))).toEqual([]);
  });

  it("onto a full device is refused in one line", async () => {
    expect((await refusalOf(writeCapture("/dev/full", guest))).message).toMatch(
      /no regular file|no space/,
    );
  });

  it("replaces a file only by a whole one", async () => {
    const path = join(folder, "again.memdesc");
    writeFileSync(path, "old");
    await writeCapture(path, guest);
    expect((await readSnapshotFile(path)).frames).toBe(65_536);
  });
});
