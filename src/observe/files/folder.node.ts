/**
 * A folder of copied /proc files → Snapshot.
 *
 * Names are those of /proc, at the folder's top or below `proc/`, each plain
 * or packed as `.zst` or `.gz`; a copied `sys/` tree is used where there is
 * one. Any file but kpageflags may be missing. Nothing but regular files is
 * opened, so that a FIFO in the folder cannot hang the reader. A folder may have two
 * moments of one machine (`kpageflags.before.zst`, `kpageflags.after.zst`): it is then
 * said which.
 */
import { createReadStream, lstatSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../input-error.js";
import { MemberCollector, memberKind, type PagesAsked } from "./members.node.js";
import type { Snapshot } from "../snapshot.js";
import { ioReason } from "./io-error.node.js";

/** Most files looked at below `sys/`: a machine of 16 TiB has 131,072 memory blocks. */
const MAX_SYS_FILES = 1_000_000;

/** One of two moments that a folder may have the files of. */
export type Moment = "before" | "after";

/** True where a folder has the page flags of that moment. */
export function hasMoment(path: string, moment: Moment): boolean {
  return namesIn(path, "").some((name) => isPageFlags(momentName(name, moment) ?? ""));
}

/** Name of a file without its moment; null for one of another moment or of none. */
function momentName(name: string, moment: Moment): string | null {
  const without = name.replace(new RegExp(`\\.${moment}(?=\\.|$)`), "");
  return without === name ? null : without;
}

export async function readFolder(
  path: string,
  pages: PagesAsked = "all",
  moment: Moment | null = null,
): Promise<Snapshot> {
  const collector = new MemberCollector(pages);
  const files = [...namesIn(path, ""), ...namesIn(path, "proc"), ...sysFilesIn(path, collector)];
  const asked = (name: string): string | null =>
    moment === null ? name : momentName(name, moment);
  if (!files.some((f) => isPageFlags(asked(f) ?? ""))) {
    throw new InputError(
      { file: path },
      `a folder without kpageflags${moment === null ? "" : `.${moment}`}`,
      "give a folder or tar of copied /proc files, or a capture",
    );
  }
  for (const file of files) {
    const name = asked(file);
    if (name === null || !collector.wants(name)) continue;
    const full = join(path, file);
    const problem = unreadable(full);
    if (problem === null) await collector.add(name, full, bytesOf(full));
    else if (memberKind(name)?.kind === "page" || /zoneinfo/.test(name))
      throw new InputError({ file: full }, problem);
    else collector.note({ subject: name, text: `not used (${problem})` });
  }
  return collector.finish(path, "folder");
}

function isPageFlags(name: string): boolean {
  const what = memberKind(name);
  return what !== null && what.kind === "page" && what.name === "kpageflags";
}

function namesIn(root: string, below: string): string[] {
  try {
    return readdirSync(join(root, below))
      .sort()
      .map((name) => (below === "" ? name : `${below}/${name}`));
  } catch (error) {
    if (below !== "") return [];
    throw new InputError({ file: root }, ioReason(error));
  }
}

/** Regular files below `sys/` that a snapshot uses, without following links. */
function sysFilesIn(root: string, collector: MemberCollector): string[] {
  const found: string[] = [];
  const walk = (below: string): void => {
    for (const name of namesIn(root, below)) {
      if (found.length >= MAX_SYS_FILES) return;
      const stat = lstatSync(join(root, name), { throwIfNoEntry: false });
      if (stat?.isDirectory()) walk(name);
      else if (stat?.isFile()) found.push(name);
      else if (stat?.isSymbolicLink()) collector.link(name);
    }
  };
  for (const top of [
    "sys/devices/system/node",
    "sys/devices/system/memory",
    "sys/kernel/mm/hugepages",
    "sys/kernel/btf",
  ])
    walk(top);
  return found;
}

/** Why a file cannot be read as a member, or null. */
function unreadable(path: string): string | null {
  try {
    return statSync(path).isFile() ? null : "not a regular file";
  } catch (error) {
    return ioReason(error);
  }
}

/** Bytes of a file; what the system refuses is an InputError. */
async function* bytesOf(full: string): AsyncGenerator<Uint8Array> {
  const stream = createReadStream(full, { highWaterMark: 512 * 1024 });
  try {
    for await (const piece of stream) yield piece as Uint8Array;
  } catch (error) {
    throw new InputError({ file: full }, ioReason(error));
  } finally {
    stream.destroy();
  }
}
