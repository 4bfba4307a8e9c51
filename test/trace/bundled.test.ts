/** The traces that come with the package: which is meant by a name, and that they are whole, small and neutral. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { listBundledTraces, tracePath } from "../../src/trace/bundled.node.js";
import { EV_ALLOC, EVENT_NAMES } from "../../src/trace/events.js";
import { openTraceFile } from "../../src/trace/file/reader.node.js";
import { refusal } from "../observe/helpers.js";
import { CountingSink } from "./counting-sink.js";
import { writeTrace } from "../../src/trace/file/import.node.js";

describe("bundled traces", () => {
  it("are several, with a line about each", () => {
    const list = listBundledTraces();
    expect(list.length).toBeGreaterThanOrEqual(2);
    for (const { name, about, bytes } of list) {
      expect(name).toMatch(/^[a-z]+$/);
      expect(about).not.toBe("");
      expect(bytes).toBeLessThan(900_000);
    }
  });

  it.each(listBundledTraces().map((t) => t.name))("%s is whole and names nobody", async (name) => {
    const file = await openTraceFile(tracePath(name));
    const sink = new CountingSink();
    try {
      expect(file.snapshots.before).not.toBeNull();
      expect(file.snapshots.after).not.toBeNull();
      await writeTrace(file, sink);
      expect(file.damage).toBeNull();
      expect(sink.ordered).toBe(true);
      expect(sink.counts()[EVENT_NAMES[EV_ALLOC]]).toBeGreaterThan(1000);
      expect(file.header.command).toHaveLength(1);
      const words = JSON.stringify([file.header, file.notes, [...file.commands]]);
      expect(words).not.toMatch(/\/(home|root|tmp|work)\b/);
      expect(new Set(file.commands.values()).size).toBeLessThanOrEqual(4);
    } finally {
      await file.close();
    }
  });

  it("are found by name, unless there is such a path", () => {
    const [{ name }] = listBundledTraces();
    expect(tracePath(name)).toMatch(new RegExp(`data/traces/${name}\\.mdt$`));
    expect(tracePath("-")).toBe("-");
    const folder = mkdtempSync(join(tmpdir(), "memdesc-bundled-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const path = join(folder, name);
    writeFileSync(path, "");
    expect(tracePath(path)).toBe(path);
    expect(tracePath(join(path, "below"))).toBe(join(path, "below"));
    expect(refusal(() => tracePath("nonesuch")).message).toMatch(
      /^nonesuch: there is no such file, and no bundled trace of that name .*--list/,
    );
    expect(tracePath("no/such.mdt")).toBe("no/such.mdt");
  });
});
