/**
 * Damaged ring buffers: all events up to the damage, then where it is and why; nothing
 * is thrown, nothing hangs, whatever the bytes.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { InputError } from "../../src/observe/input-error.js";
import { openRingFolder } from "../../src/trace/ring/folder.node.js";
import { refusalOf } from "../observe/helpers.js";
import { cpuOf, FORMATS, joined, MadePage, openMade, type Row, rowsOf } from "./ring-pages.js";

/** Two sub-buffers of 20 frees each, frames from `first`, a nanosecond apart. */
function made(first: number): Uint8Array {
  const pages = [new MadePage(0n), new MadePage(1000n)];
  for (const [k, page] of pages.entries())
    for (let i = 0; i < 20; i++) page.free(first + 20 * k + i, 0, 1);
  return joined(...pages);
}

const EVENT = 28;

describe("damage has a place", () => {
  it("gives the events before a cut within a sub-buffer", async () => {
    const source = await openMade([cpuOf(0, made(0).subarray(0, 4096 + 1000))]);
    expect(await rowsOf(source)).toHaveLength(20);
    expect(source.damage?.where).toBe("cpu0.raw, byte 4096");
    expect(source.damage?.why).toMatch(/1000 of 4096/);
  });

  it("ends at an event that goes beyond its sub-buffer, with those before it", async () => {
    const bytes = made(0);
    // The sixth event of the second sub-buffer.
    const at = 4096 + 16 + 5 * EVENT;
    bytes[at] = (bytes[at] & ~31) | 28;
    new DataView(bytes.buffer).setUint32(4096 + 8, 6 * EVENT, true);
    const source = await openMade([cpuOf(0, bytes)]);
    expect((await rowsOf(source)).at(-1)?.x).toBe(24);
    expect(source.damage?.where).toBe(`cpu0.raw, byte ${at}`);
  });

  it("ends at an event with a length that is not its format's", async () => {
    const bytes = made(0);
    const at = 16 + 3 * EVENT;
    bytes[at] = (bytes[at] & ~31) | 3;
    const source = await openMade([cpuOf(0, bytes)]);
    expect(await rowsOf(source)).toHaveLength(3);
    expect(source.damage).toMatchObject({ where: `cpu0.raw, byte ${at}` });
    expect(source.damage?.why).toMatch(/id 655 has 12 bytes/);
  });

  it("ends at a length or a time of a sub-buffer that cannot be", async () => {
    const long = made(0);
    new DataView(long.buffer).setUint32(4096 + 8, 5000, true);
    const source = await openMade([cpuOf(0, long)]);
    expect(await rowsOf(source)).toHaveLength(20);
    expect(source.damage?.where).toBe("cpu0.raw, byte 4104");
    const back = joined(new MadePage(5_000_000_000n).free(1, 0, 0), new MadePage(1n).free(2, 0, 0));
    const second = await openMade([cpuOf(0, back)]);
    expect(await rowsOf(second)).toHaveLength(1);
    expect(second.damage?.where).toBe("cpu0.raw, byte 4096");
  });

  it("ends the trace where the damaged processor's events end", async () => {
    const late = new MadePage(500n).free(1000, 0, 0);
    const source = await openMade([
      cpuOf(0, made(0).subarray(0, 4097)),
      cpuOf(1, joined(new MadePage(5n).free(999, 0, 0), late)),
    ]);
    const frames = (await rowsOf(source)).map((r) => r.x);
    expect(frames).toContain(999);
    expect(frames).not.toContain(1000);
    expect(source.damage?.where).toBe("cpu0.raw, byte 4096");
  });

  it("tells a file that ends between two sub-buffers by the kernel's count", async () => {
    const stats = { entries: 40, readEvents: 0, lost: 0, bytes: 0 };
    const source = await openMade([cpuOf(0, made(0).subarray(0, 4096), stats)]);
    expect(await rowsOf(source)).toHaveLength(20);
    expect(source.damage?.why).toMatch(/after 20 events; the kernel counted 40/);
  });
});

describe("whatever the bytes", () => {
  const read = async (cpus: readonly Uint8Array[]): Promise<Row[]> => {
    try {
      const source = await openMade(cpus.map((bytes, i) => cpuOf(i, bytes)));
      const rows = await rowsOf(source, 64);
      expect(source.damage === null || /^cpu\d\.raw, byte \d+$/.test(source.damage.where)).toBe(
        true,
      );
      return rows;
    } catch (error) {
      expect(error).toBeInstanceOf(InputError);
      return [];
    }
  };

  it("ends, and never goes back in time", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(8191), fc.integer({ min: 0, max: 255 })), { maxLength: 12 }),
        fc.nat(8192),
        async (changes, length) => {
          const bytes = made(0);
          for (const [at, value] of changes) bytes[at] = value;
          const rows = await read([bytes.subarray(0, length), made(100)]);
          for (let i = 1; i < rows.length; i++) expect(rows[i].time >= rows[i - 1].time).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("survives noise, with and without a sound head", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 5000, size: "max" }),
        fc.boolean(),
        fc.nat(1020),
        async (noise, head, words) => {
          const bytes = noise.slice();
          if (head && bytes.length >= 16) {
            bytes.fill(0, 0, 16);
            new DataView(bytes.buffer).setUint32(8, words * 4, true);
          }
          await read([bytes]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it("keeps what stands before the first changed byte", async () => {
    const whole = await rowsOf(await openMade([cpuOf(0, made(0))]));
    await fc.assert(
      fc.asyncProperty(fc.nat(16 + 20 * EVENT), fc.nat(255), async (at, value) => {
        const bytes = made(0);
        bytes[at] = value;
        const rows = await read([bytes]);
        const sound = at < 16 ? 0 : Math.floor((at - 16) / EVENT);
        const kept = rows.length > 0 ? whole.slice(0, sound) : [];
        expect(rows.slice(0, kept.length)).toEqual(kept);
      }),
      { numRuns: 300 },
    );
  });
});

describe("folders", () => {
  const folder = (files: Readonly<Record<string, Uint8Array | string>>, formats = true): string => {
    const path = mkdtempSync(join(tmpdir(), "memdesc-ring-"));
    onTestFinished(() => rmSync(path, { recursive: true, force: true }));
    for (const [name, content] of Object.entries(files)) writeFileSync(join(path, name), content);
    if (formats) {
      mkdirSync(join(path, "formats"));
      for (const [name, text] of FORMATS) writeFileSync(join(path, "formats", name), text);
    }
    return path;
  };

  it("reads plain and packed buffers, commands and the clock", async () => {
    const path = folder({
      "cpu0.raw": made(0),
      "cpu1.raw.gz": gzipSync(made(100)),
      saved_cmdlines: "7 gcc\n12 a b\n",
      trace_clock: "local global [mono] boot\n",
    });
    const source = await openRingFolder(path);
    expect(await rowsOf(source)).toHaveLength(80);
    expect(source.damage).toBeNull();
    expect(source.about).toMatchObject({ format: "ring", clock: "mono", cpus: 2 });
    expect(source.commands.get(12)).toBe("a b");
    await source.close();
  });

  it("says where packed bytes are cut", async () => {
    const packed = gzipSync(made(0));
    const source = await openRingFolder(
      folder({ "cpu0.raw.gz": packed.subarray(0, packed.length - 9) }),
    );
    await rowsOf(source);
    expect(source.damage?.where).toMatch(/^cpu0\.raw\.gz, byte \d+$/);
    expect(source.damage?.why).toMatch(/gzip/);
    await source.close();
  });

  it("refuses folders that hold no ring buffer or no format files", async () => {
    expect((await refusalOf(openRingFolder(folder({})))).message).toMatch(/without cpu0\.raw/);
    const bare = folder({ "cpu0.raw": made(0) }, false);
    expect((await refusalOf(openRingFolder(bare))).message).toMatch(/no format files/);
  });
});
