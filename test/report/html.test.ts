/**
 * The HTML report stands on its own: nothing is loaded, nothing is executed,
 * everything from outside is escaped, every chart says in words what it shows.
 */
import { describe, expect, it } from "vitest";
import { escapeText, html } from "../../src/report/html-text.js";
import { renderHtml } from "../../src/report/html.js";
import { SAMPLE } from "./sample-report.js";

const page = renderHtml(SAMPLE);

describe("the HTML report", () => {
  it("loads nothing, runs nothing, and forbids itself both", () => {
    expect(page).not.toMatch(/<script|<link|<img|<iframe|@import|url\(|\son\w+=|javascript:/i);
    expect(page.replace(/<desc[^]*?<\/desc>/g, "")).not.toMatch(/(?:src|href)=/);
    expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`);
  });

  it("escapes what comes from outside", () => {
    expect(page).toContain("big &lt;machine&gt; &amp; co.tar");
    const evil = `</title><script>alert("1")</script>'&`;
    const text = renderHtml({
      ...SAMPLE,
      machine: { ...SAMPLE.machine, label: evil, kernel: evil, whatIf: [evil] },
      notes: [{ subject: evil, text: evil }],
      designs: SAMPLE.designs.map((design) => ({ ...design, design: evil, summary: evil })),
    });
    expect(text).not.toContain("<script");
    expect(escapeText(evil)).toBe(
      "&lt;/title&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;",
    );
    expect(html`<b title="${'"'}">${["<", html`<i>x</i>`]}</b>`.text).toBe(
      `<b title="&quot;">&lt;<i>x</i></b>`,
    );
  });

  it("gives every chart a title and a description, and every id once", () => {
    const charts = page.match(/<svg\s[^>]*role="img"[^>]*>/g) ?? [];
    expect(charts).toHaveLength(4);
    for (const chart of charts) {
      const ids = /aria-labelledby="([^"]+)"/.exec(chart)?.[1].split(" ") ?? [];
      expect(ids).toHaveLength(2);
      for (const id of ids) expect(page).toContain(`id="${id}"`);
    }
    const ids = [...page.matchAll(/\sid="([^"]+)"/g)].map((match) => match[1]);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("has balanced elements and no figure that is not one", () => {
    for (const name of ["section", "table", "tr", "td", "th", "svg", "g", "div", "p", "ul", "li"]) {
      const opened = page.match(new RegExp(`<${name}[\\s>]`, "g"))?.length ?? 0;
      const closed = page.match(new RegExp(`</${name}>`, "g"))?.length ?? 0;
      expect([name, opened]).toEqual([name, closed]);
    }
    expect(page).not.toMatch(/NaN|undefined|Infinity|\[object/);
  });

  it("works without designs, as --kinds-only has none", () => {
    const lists = { designs: [], breakEven: [], vmemmap: [], arithmetic: [], notes: [] };
    const empty = { ...SAMPLE, ...lists, device: null };
    expect(renderHtml(empty)).toContain("What the pages are");
    expect(renderHtml(empty)).not.toMatch(/NaN|undefined|h-device/);
  });

  it("has every name and record of a device in its table, a bar for each record in its chart", () => {
    const from = page.indexOf(`<section aria-labelledby="h-device">`);
    const section = page.slice(from, page.indexOf("</section>", from));
    const rows = SAMPLE.device?.rows ?? [];
    expect(section.match(/<th scope="row">/g)).toHaveLength(rows.length);
    expect(section.match(/<rect class="array"/g)).toHaveLength(3 * 3);
    // Only folios come on top of what is there while the device is idle.
    expect(section.match(/<rect class="desc"/g)).toHaveLength(3);
    expect(section).toContain("What a device of 1.00 TiB costs");
    expect(section).toContain("1.00 GiB of it was built");
    expect(section).toContain("folio, device-private with name physical: a pfn leads to a");
  });
});
