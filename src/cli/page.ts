/**
 * `memdesc page PFN [SOURCE]`: everything about one page.
 */
import type { Command } from "commander";
import { renderJson } from "../report/json.js";
import type { BuildPage } from "../report/ports.js";
import { renderPage } from "../report/terminal-page.js";
import { canonicalDesigns, collectDesigns, DESIGNS_HELP, parsePfn } from "./options.js";
import { print, wantsColor } from "./output.js";
import { Progress } from "./progress.js";
import { openForReport } from "./source.js";

interface PageOptions {
  readonly json?: boolean;
  readonly designs?: readonly string[];
}

const EXAMPLES = `
Examples:
  $ memdesc page 0x1a2b3                         a page of this machine
  $ memdesc page 107187 web01.memdesc --json     the same as data`;

/** Adds the command; `build` makes the report of a page. */
export function addPage(program: Command, build: BuildPage): void {
  program
    .command("page")
    .summary("everything about one page")
    .description("Flags, kind and object of one page, and its word and descriptor in each design.")
    .argument("<pfn>", "page frame number, decimal or 0x…", parsePfn)
    .argument("[source]", "capture, folder or tar; this machine where left out")
    .option("--json", "print it as JSON")
    .option("--designs <list>", DESIGNS_HELP, collectDesigns)
    .addHelpText("after", EXAMPLES)
    .action(async (pfn: number, source: string | undefined, options: PageOptions) => {
      const designs = await canonicalDesigns(options.designs);
      const progress = new Progress(process.stderr);
      const { snapshot } = await openForReport({ source, flagsOnly: false }, progress);
      const report = await build(snapshot, pfn, designs);
      const color = wantsColor(process.stdout, process.env);
      await print(options.json === true ? renderJson(report) : renderPage(report, { color }));
    });
}
