/**
 * The page of a replay stands on its own: nothing is loaded, nothing is executed,
 * everything from a trace is escaped, every chart says in words what it shows; and in
 * a real browser it is quiet and fits on a phone. The published schema describes what
 * the page is made of.
 */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { describe, expect, it } from "vitest";
import { renderReplayHtml } from "../../src/report/html-replay.js";
import type { ReplayReport } from "../../src/report/replay-model.js";
import { SHARED } from "../observe/helpers.js";
import { richReplay } from "./rich-replay.js";
import { EMPTY_REPLAY, EVIL, SAMPLE_REPLAY } from "./sample-replay.js";
import { disagreements } from "./schema-check.js";

const BROWSER = process.env["MEMDESC_CHROMIUM"] ?? "/usr/bin/chromium";
const SCHEMA = JSON.parse(
  readFileSync(fileURLToPath(new URL("../../docs/replay.schema.json", import.meta.url)), "utf8"),
);
const page = renderReplayHtml(SAMPLE_REPLAY);

/** What is wrong with a page, whatever it shows; a list of complaints. */
function complaints(text: string): string[] {
  const said: string[] = [];
  if (/<script|<link|<img|<iframe|@import|url\(|\son\w+=|javascript:/i.test(text))
    said.push("loads or runs something");
  if (/(?:src|href)=/.test(text)) said.push("refers to something");
  if (!text.includes(`content="default-src 'none'; style-src 'unsafe-inline'"`))
    said.push("has no policy");
  if (/NaN|undefined|Infinity|\[object/.test(text)) said.push("shows what is no figure");
  for (const name of ["section", "table", "tr", "td", "th", "svg", "div", "p", "span", "dl"]) {
    const opened = text.match(new RegExp(`<${name}[\\s>]`, "g"))?.length ?? 0;
    const closed = text.match(new RegExp(`</${name}>`, "g"))?.length ?? 0;
    if (opened !== closed) said.push(`${opened} <${name}>, ${closed} closed`);
  }
  const ids = [...text.matchAll(/\sid="([^"]+)"/g)].map((match) => match[1]);
  if (new Set(ids).size !== ids.length) said.push("has an id twice");
  for (const [, names] of text.matchAll(/role="img"\s+aria-labelledby="([^"]+)"/g))
    if (!names.split(" ").every((id) => ids.includes(id))) said.push("a chart without words");
  return said;
}

/** `count` designs: the first, and others like the last under other names. */
function many(count: number, name: (i: number) => string): ReplayReport {
  const [today, other] = SAMPLE_REPLAY.designs;
  const rest = Array.from({ length: count - 1 }, (_, i) => ({ ...other, design: name(i) }));
  return { ...SAMPLE_REPLAY, designs: [today, ...rest] };
}

describe("the page of a replay", () => {
  it.each([
    ["every field", SAMPLE_REPLAY],
    ["nothing that happened", EMPTY_REPLAY],
    ["no design", { ...SAMPLE_REPLAY, designs: [] }],
    ["no design of today", { ...SAMPLE_REPLAY, designs: SAMPLE_REPLAY.designs.slice(1) }],
    ["twenty designs", many(20, (i) => `memdesc8+x=${i}`)],
    ["names too long for a chart", many(3, (i) => `memdesc8+types=2024+slab=kmalloc+x=${i}`)],
  ])("is well made with %s", (_name, report) => {
    expect(complaints(renderReplayHtml(report))).toEqual([]);
  });

  it("escapes what comes from a trace", () => {
    const [first, second] = SAMPLE_REPLAY.designs;
    const caches = second.caches.map((cache) => ({ ...cache, name: EVIL }));
    const text = renderReplayHtml({
      ...SAMPLE_REPLAY,
      trace: {
        ...SAMPLE_REPLAY.trace,
        source: EVIL,
        kernel: EVIL,
        clock: EVIL,
        counts: { [EVIL]: 1 },
        others: { [EVIL]: 1 },
        notes: [{ subject: EVIL, text: EVIL }],
        damage: { where: EVIL, why: EVIL },
      },
      refusals: [{ why: EVIL, events: 1 }],
      unseen: [{ what: EVIL, pages: 1 }],
      designs: [
        { ...first, design: EVIL, verdict: EVIL },
        { ...second, caches, refused: [{ why: EVIL, operations: 1 }] },
      ],
    });
    expect(complaints(text)).toEqual([]);
    expect(page).toContain("big &lt;build&gt; &amp; co.mdt");
  });

  it("has a chart for each question, all designs in it, axes with their units", () => {
    for (const id of ["metadata", "change", "objects-0", "lines", "fragmentation", "orders"])
      expect(page).toContain(`id="${id}-t"`);
    const chart = /<svg[^>]*aria-labelledby="metadata-t[^]*?<\/svg>/.exec(page)?.[0] ?? "";
    expect(chart.match(/<polyline/g)).toHaveLength(2);
    expect(chart).toContain("MiB of metadata");
    expect(chart).toContain("seconds since the first event");
    expect(chart).toMatch(/>slot64<\/text>/);
  });

  it("says what was changed, lost, damaged and refused, and that a trace shows no lookups", () => {
    for (const text of [
      "299,030 allocations and frees recorded = 299,000",
      "Damaged at byte 81920: the checksum is wrong",
      "file folios of order 4 at least, anonymous folios of order 2 at least",
      "the machine begins empty",
      "12 events lost",
      "a free of what nobody was seen to allocate",
      "shmem 1,000, (free 5)",
      "page_pool_state_hold",
    ])
      expect(page.replace(/\s+/g, " ")).toContain(text);
    expect(page.split(SAMPLE_REPLAY.notShown)).toHaveLength(4);
  });

  it("is the same for the same report", () => {
    expect(renderReplayHtml(SAMPLE_REPLAY)).toBe(page);
  });
});

describe("docs/replay.schema.json", () => {
  it.each([
    ["every field", SAMPLE_REPLAY],
    ["nothing that happened", EMPTY_REPLAY],
  ])("describes a report with %s", (_name, report) => {
    expect(disagreements(JSON.parse(JSON.stringify(report)), SCHEMA)).toEqual([]);
  });

  it("notices a field that it does not know", () => {
    const [first] = SAMPLE_REPLAY.designs;
    const designs = [{ ...first, extra: 1 }];
    expect(
      disagreements({ ...JSON.parse(JSON.stringify(SAMPLE_REPLAY)), designs }, SCHEMA),
    ).toEqual(["$.designs[0]: unexpected extra"]);
  });
});

describe.skipIf(SHARED === null)("of a real trace (skipped without the shared data)", () => {
  it("the page is well made, and the schema describes the report", async () => {
    const report = await richReplay();
    expect(complaints(renderReplayHtml(report))).toEqual([]);
    expect(disagreements(JSON.parse(JSON.stringify(report)), SCHEMA)).toEqual([]);
  });
});

describe.skipIf(!existsSync(BROWSER))(`in ${BROWSER} (skipped where it is not there)`, () => {
  it.each([
    ["a phone, dark", 390, "dark"],
    ["a screen, light", 1280, "light"],
  ] as const)("is quiet and fits on %s, long names too", async (_name, width, colorScheme) => {
    const browser = await chromium.launch({
      executablePath: BROWSER,
      args: ["--no-sandbox", "--disable-gpu"],
    });
    try {
      const tab = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
      const said: string[] = [];
      tab.on("console", (message) => said.push(message.text()));
      tab.on("request", (request) => said.push(request.url()));
      await tab.setContent(renderReplayHtml(many(3, (i) => `memdesc16+types=2024${i}+`)));
      // Text that stands outside of its drawing would be cut.
      const facts = await tab.evaluate(`({
        page: document.documentElement.scrollWidth,
        cut: [...document.querySelectorAll("svg.chart text")].filter((text) => {
          const [inner, outer] = [text.getBBox(), text.ownerSVGElement.viewBox.baseVal];
          return inner.x < -1 || inner.x + inner.width > outer.width + 1;
        }).map((text) => text.textContent),
      })`);
      expect(facts).toEqual({ page: width, cut: [] });
      expect(said).toEqual([]);
    } finally {
      await browser.close();
    }
  });
});
