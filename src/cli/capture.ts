/**
 * `memdesc capture FILE`: the live machine (or another source) into one file
 * that `inspect` and `page` read anywhere.
 */
import type { Command } from "commander";
import { writeCapture } from "../observe/capture/capture.node.js";
import { openSource } from "../observe/source.node.js";
import { formatBytes, formatCount } from "../units.js";
import { UsageError } from "./fail.js";
import { checkWritable } from "./output.js";
import { Progress } from "./progress.js";
import { whyNotLive } from "./source.js";

const EXAMPLES = `
Needs root, unless --from names a folder or tar of copied /proc files. The file
holds page flags, map counts, memory cgroups and the kernel's totals; no host
name, no content of any page, no address.

Examples:
  $ sudo memdesc capture web01.memdesc           this machine
  $ memdesc capture web02.memdesc --from proc/   from a folder of copied files`;

export function addCapture(program: Command): void {
  program
    .command("capture")
    .summary("write what inspect reads into one file")
    .description("Writes everything that inspect reads of a machine into one compact file.")
    .argument("<file>", "where to write it")
    .option("--from <source>", "read this folder, tar or capture instead of this machine")
    .addHelpText("after", EXAMPLES)
    .action(async (file: string, options: { readonly from?: string }) => {
      await capture(file, options.from);
    });
}

async function capture(file: string, from: string | undefined): Promise<void> {
  const why = from === undefined ? whyNotLive() : null;
  if (why !== null) throw new UsageError(`${why}; run it as root, or give --from SOURCE`);
  checkWritable(file);
  const progress = new Progress(process.stderr);
  const snapshot = await openSource(from, {
    pages: "all",
    onProgress: (done, total, unit) => progress.update(`reading ${unit}`, done, total),
  });
  progress.finish();
  const { bytes } = await writeCapture(file, snapshot);
  process.stderr.write(
    `memdesc: ${file}: ${formatCount(snapshot.frames)} frames in ${formatBytes(bytes)}\n`,
  );
}
