/**
 * The HTML report in a real browser: its own content policy is never violated,
 * nothing is asked of the network, and it fits on a phone (tables and charts
 * scroll by themselves, the page does not).
 */
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { describe, expect, it } from "vitest";
import { renderHtml } from "../../src/report/html.js";
import { SAMPLE } from "./sample-report.js";

const BROWSER = process.env["MEMDESC_CHROMIUM"] ?? "/usr/bin/chromium";

describe.skipIf(!existsSync(BROWSER))(`in ${BROWSER} (skipped where it is not there)`, () => {
  it.each([
    ["a phone, dark", 390, "dark"],
    ["a screen, light", 1280, "light"],
  ] as const)("is quiet and fits on %s", async (_name, width, colorScheme) => {
    const browser = await chromium.launch({
      executablePath: BROWSER,
      args: ["--no-sandbox", "--disable-gpu"],
    });
    try {
      const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
      const said: string[] = [];
      const asked: string[] = [];
      page.on("console", (message) => said.push(message.text()));
      page.on("request", (request) => asked.push(request.url()));
      await page.setContent(renderHtml(SAMPLE));
      const facts = await page.evaluate(
        `({ page: document.documentElement.scrollWidth, charts: document.querySelectorAll("svg[role=img]").length })`,
      );
      expect(facts).toEqual({ page: width, charts: 4 });
      expect(said).toEqual([]);
      expect(asked).toEqual([]);
    } finally {
      await browser.close();
    }
  });
});
