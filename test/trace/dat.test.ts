/**
 * trace.dat: files that trace-cmd 3.1.6 recorded on 6.18, against what its own
 * `report -t` prints of them (row for row, to the nanosecond), and what happens to
 * files that are cut, changed or of another machine.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { decompress } from "fzstd";
import { describe, expect, it, onTestFinished } from "vitest";
import { InputError } from "../../src/observe/input-error.js";
import { accessOf } from "../../src/trace/dat/cursor.js";
import { openDat } from "../../src/trace/dat/source.js";
import { writeTrace } from "../../src/trace/file/import.node.js";
import { openTraceWriter } from "../../src/trace/file/writer.node.js";
import { openTrace } from "../../src/trace/open.node.js";
import type { EventSource } from "../../src/trace/source.js";
import { fixture, openText, type Row, rowsOf, TRACES } from "./text-rows.js";

const V6 = fixture("v6.dat.zst");
const V7 = fixture("v7.dat");

const open = (bytes: Uint8Array): Promise<EventSource> =>
  openDat(accessOf(bytes), "t.dat", () => Promise.resolve());

const reported = async (name: string): Promise<Row[]> => rowsOf(await openText(fixture(name)), 512);

describe("files of trace-cmd against its report", () => {
  it.each([
    [6, "v6.report.txt.zst", V6, 7810],
    [7, "v7.report.txt.zst", V7, 2671],
  ] as const)("version %i", async (version, report, bytes, length) => {
    const source = await open(bytes);
    const rows = await rowsOf(source, 333);
    const text = await openText(fixture(report));
    expect(rows.length).toBe(length);
    expect(rows).toEqual(await rowsOf(text));
    expect(source.about).toMatchObject({
      format: "trace.dat",
      kernel: "6.18.44-fc-v669",
      clock: "mono",
      cpus: 2,
    });
    expect(source.damage).toBe(null);
    expect([...source.others]).toEqual([...text.others]);
    expect(source.lost).toEqual([0, 0]);
    expect(source.notes[0].text).toContain(`version ${version}`);
    // A name that changed within the trace is known to the end of it.
    // Task 0 has a name in text only.
    const named = [...text.commands].filter(([pid]) => pid !== 0);
    expect([...source.commands]).toEqual(expect.arrayContaining(named));
  });

  it("with zlib instead of zstd", async () => {
    const source = await open(withZlib(V7));
    expect(source.notes[0].text).toContain("zlib");
    expect(await rowsOf(source)).toEqual(await reported("v7.report.txt.zst"));
  });
});

describe("through the front door", () => {
  it("plain, packed and as text", async () => {
    const folder = mkdtempSync(join(tmpdir(), "memdesc-test-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const gz = join(folder, "any-name");
    writeFileSync(gz, gzipSync(V7));
    const seven = await reported("v7.report.txt.zst");
    for (const [path, rows] of [
      [join(TRACES, "v7.dat"), seven],
      [gz, seven],
      [join(TRACES, "v6.dat.zst"), await reported("v6.report.txt.zst")],
      [join(TRACES, "v7.report.txt.zst"), seven],
    ] as const) {
      const source = await openTrace(path);
      expect(await rowsOf(source)).toEqual(rows);
      await source.close();
    }
  });

  it("a trace file of memdesc, made of a trace.dat", async () => {
    const folder = mkdtempSync(join(tmpdir(), "memdesc-test-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "any-name");
    const dat = await openTrace(join(TRACES, "v7.dat"));
    await writeTrace(dat, await openTraceWriter(path, dat.about));
    await dat.close();
    const source = await openTrace(path);
    expect(await rowsOf(source)).toEqual(await reported("v7.report.txt.zst"));
    expect(source.about).toMatchObject({ format: "mdt", kernel: "6.18.44-fc-v669" });
    await source.close();
    writeFileSync(`${path}.gz`, gzipSync(readFileSync(path)));
    await expect(openTrace(`${path}.gz`)).rejects.toThrow("give the file itself");
  });

  it("refuses what is no trace", async () => {
    await expect(openTrace(join(TRACES, "nothing-here"))).rejects.toThrow(InputError);
    await expect(openTrace(join(TRACES, "..", "guest-6.1", "meminfo"))).rejects.toThrow(InputError);
    await expect(openTrace("/dev/zero")).rejects.toThrow("is a device");
    const folder = mkdtempSync(join(tmpdir(), "memdesc-test-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "a");
    writeFileSync(file, "PERFILE2\0\0\0");
    await expect(openTrace(file)).rejects.toThrow("perf script -i");
    writeFileSync(file, "");
    await expect(openTrace(file)).rejects.toThrow("empty");
    await expect(openTrace(folder)).rejects.toThrow("a folder without cpu0.raw");
  });

  it("a packed file that is cut gives what was whole", async () => {
    const folder = mkdtempSync(join(tmpdir(), "memdesc-test-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "cut.txt.gz");
    const packed = gzipSync(fixture("v6.report.txt.zst"));
    writeFileSync(path, packed.subarray(0, packed.length >> 1));
    const source = await openTrace(path);
    const rows = await rowsOf(source);
    expect(rows.length).toBeGreaterThan(1000);
    expect(rows).toEqual((await reported("v6.report.txt.zst")).slice(0, rows.length));
    expect(source.damage?.why).toContain("damaged gzip data");
    await source.close();
  });
});

describe("other machines, other versions", () => {
  const changed = (at: number, byte: number): Uint8Array => {
    const bytes = V6.slice();
    bytes[at] = byte;
    return bytes;
  };
  it("names what it does not read", async () => {
    await expect(open(changed(12, 1))).rejects.toThrow(
      "t.dat: byte 12: a trace of a big-endian machine",
    );
    await expect(open(changed(12, 7))).rejects.toThrow("byte order 7");
    await expect(open(changed(10, 56))).rejects.toThrow('version "8" of trace.dat');
    await expect(open(changed(13, 16))).rejects.toThrow("longs of 16 bytes");
    await expect(open(V6.subarray(0, 5000))).rejects.toThrow("the file ends within");
    const lzma = V7.slice();
    lzma.set(new TextEncoder().encode("lzma"), 18);
    await expect(open(lzma)).rejects.toThrow('byte 18: compressed with "lzma"');
  });
});

interface Survived {
  readonly source: EventSource;
  readonly rows: Row[];
}

describe("damage", () => {
  /** Whatever the bytes: an InputError before the first event, or rows and perhaps a place. */
  async function survives(bytes: Uint8Array): Promise<Survived | null> {
    let source: EventSource;
    try {
      source = await open(bytes);
    } catch (error) {
      if (error instanceof InputError) return null;
      throw error;
    }
    const rows = await rowsOf(source, 512);
    expect(rows.findIndex((row, i) => i > 0 && row[0] < rows[i - 1][0])).toBe(-1);
    expect(source.damage?.where ?? "t.dat, byte 0").toMatch(/^t\.dat, .*byte \d+$/);
    return { source, rows };
  }

  it.each([
    ["6", V6],
    ["7", V7],
  ] as const)("version %s, cut: rows of the whole file, and a place", async (_, bytes) => {
    const whole = await rowsOf(await open(bytes));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: bytes.length - 1 }), async (at) => {
        const found = await survives(bytes.subarray(0, at));
        const rows = found?.rows ?? [];
        expect(rows).toEqual(whole.slice(0, rows.length));
        // All of it, or refused, or damage said.
        expect(rows.length === whole.length || found?.source.damage !== null).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    ["6", V6],
    ["7", V7],
  ] as const)("version %s, changed anywhere", async (_, original) => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: original.length - 1 }),
        fc.uint8Array({ minLength: 1, maxLength: 16 }),
        async (at, garbage) => {
          const bytes = original.slice();
          bytes.set(garbage.subarray(0, bytes.length - at), at);
          await survives(bytes);
        },
      ),
      { numRuns: 80 },
    );
  });

  it("headers changed: the first kilobyte and the options decide everything", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(V6, V7),
        fc.boolean(),
        fc.nat(1023),
        fc.integer({ min: 0, max: 255 }),
        async (original, front, at, byte) => {
          const bytes = original.slice();
          bytes[front ? at : bytes.length - 1 - at] = byte;
          await survives(bytes);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("random bytes behind the magic number", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(14, 18, 40, 700),
        fc.uint8Array({ minLength: 1, maxLength: 2000 }),
        async (at, garbage) => {
          const bytes = new Uint8Array(at + garbage.length);
          bytes.set(V7.subarray(0, at));
          bytes.set(garbage, at);
          await survives(bytes);
        },
      ),
      { numRuns: 200 },
    );
  });
});

/** The file with all its zstd pieces packed with zlib: sections move, so it is written anew. */
function withZlib(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out: number[] = [...bytes.subarray(0, 18), ...ascii("zlib\0"), ...ascii("1.2\0")];
  const optionsPlace = out.length;
  out.push(0, 0, 0, 0, 0, 0, 0, 0);
  const word = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24];
  const long = (n: number): number[] => [...word(n), 0, 0, 0, 0];
  const repacked = (at: number, packed: number): number[] => {
    const data = decompress(bytes.subarray(at, at + packed));
    const zipped = deflateSync(data);
    return [...word(zipped.length), ...word(data.length), ...zipped];
  };
  /** Copies a section; gives its place. */
  const section = (at: number, body: number[]): number => {
    const place = out.length;
    out.push(...bytes.subarray(at, at + 8), ...long(body.length), ...body);
    return place;
  };
  const options = (at: number): number => {
    const packed = (view.getUint16(at + 2, true) & 1) !== 0;
    const data = packed
      ? decompress(bytes.subarray(at + 24, at + 24 + view.getUint32(at + 16, true)))
      : bytes.subarray(at + 16);
    const v = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const body: number[] = [];
    for (let p = 0; ;) {
      const id = v.getUint16(p, true);
      const size = v.getUint32(p + 2, true);
      const own = [...data.subarray(p + 6, p + 6 + size)];
      const place = size >= 8 ? v.getUint32(p + 6, true) : 0;
      if (id === 0) {
        own.splice(0, 8, ...long(place === 0 ? 0 : options(place)));
      } else if (id === 3) {
        let q = 8;
        for (let zeros = 0; zeros < 2; q++) if (own[q] === 0) zeros++;
        const count = own[q + 4];
        const buffer = section(place, []);
        for (let i = 0; i < count; i++) {
          const at2 = q + 8 + i * 20;
          const from = v.getUint32(p + 6 + at2 + 4, true);
          const chunks = view.getUint32(from, true);
          const here = out.length;
          const copy = [...word(chunks)];
          for (let c = 0, r = from + 4; c < chunks; c++) {
            const n = view.getUint32(r, true);
            copy.push(...repacked(r + 8, n));
            r += 8 + n;
          }
          out.push(...copy);
          own.splice(at2 + 4, 16, ...long(here), ...long(copy.length));
        }
        own.splice(0, 8, ...long(buffer));
      } else if (id >= 16 && id <= 21) {
        own.splice(
          0,
          8,
          ...long(section(place, repacked(place + 24, view.getUint32(place + 16, true)))),
        );
      }
      body.push(id & 255, id >> 8, ...word(own.length), ...own);
      p += 6 + size;
      if (id === 0) break;
    }
    const place = out.length;
    out.push(0, 0, 0, 0, 0, 0, 0, 0, ...long(body.length), ...body);
    return place;
  };
  const zero = bytes.indexOf(0, bytes.indexOf(0, 18) + 1) + 1;
  const first = options(view.getUint32(zero, true));
  out.splice(optionsPlace, 8, ...long(first));
  return Uint8Array.from(out);
}

function ascii(text: string): number[] {
  return [...new TextEncoder().encode(text)];
}
