/**
 * Members → Snapshot: what a folder and a tar have in common.
 *
 * A member is a file by its name in /proc (`kpageflags`, `zoneinfo`, …),
 * possibly packed (`.zst`, `.gz`), or a file below `sys/`. Text members are
 * collected, page members become columns of runs as they stream by, so that
 * their order does not matter and no page file is ever held whole.
 */
import { assemble, attempt, TEXT_FILES, type TextFile } from "../assemble.js";
import { btfSizes } from "../btf/btf-sizes.js";
import { collect, unpacked } from "./decompress.node.js";
import { InputError } from "../input-error.js";
import { MAX_FRAMES } from "../page-runs-builder.js";
import type { Note, Snapshot } from "../snapshot.js";
import type { SysTree } from "../procfs/sysfs.js";
import { MAX_TEXT } from "../procfs/text.js";
import { mergeColumns, type WordColumn, WordColumnBuilder } from "../capture/word-column.js";

export const PAGE_FILES = ["kpageflags", "kpagecount", "kpagecgroup"] as const;
export type PageFile = (typeof PAGE_FILES)[number];

const MAX_BTF = 64 * 1024 * 1024;
const TEXTS: ReadonlySet<string> = new Set(TEXT_FILES);
const PAGES: ReadonlySet<string> = new Set(PAGE_FILES);

export type PagesAsked = "all" | "flags-only";

/** What a member is, by its path inside the folder or tar; null where it is nothing known. */
export function memberKind(
  path: string,
):
  | { kind: "page"; name: PageFile }
  | { kind: "text"; name: TextFile }
  | { kind: "btf" }
  | { kind: "sys"; path: string }
  | null {
  const clean = path.replace(/^(?:\.\/)+/, "").replace(/^\/+/, "");
  const sys = /^(?:.*\/)?sys\/((?:devices|kernel)\/.+)$/.exec(clean);
  if (sys) {
    if (sys[1] === "kernel/btf/vmlinux") return { kind: "btf" };
    return /^(?:devices\/system\/(?:node|memory)|kernel\/mm\/hugepages)\//.test(sys[1])
      ? { kind: "sys", path: sys[1] }
      : null;
  }
  const plain = /^(?:[^/]+\/)?(?:proc\/)?([^/]+?)(?:\.zst|\.gz)?$/.exec(clean);
  const name = plain?.[1] ?? "";
  if (PAGES.has(name)) return { kind: "page", name: name as PageFile };
  if (TEXTS.has(name)) return { kind: "text", name: name as TextFile };
  return name === "btf" ? { kind: "btf" } : null;
}

/** Collects members in any order and makes the snapshot of them. */
export class MemberCollector {
  private readonly columns = new Map<PageFile, WordColumn>();
  private readonly texts: Partial<Record<TextFile, string>> = {};
  private readonly sysFiles = new Map<string, string>();
  private sawBtf = false;
  private structSizes: Readonly<Record<string, number>> | null = null;
  private readonly notes: Note[] = [];
  private readonly asked: PagesAsked;

  constructor(asked: PagesAsked) {
    this.asked = asked;
  }

  /** True where this member is of use, so that a source may skip the others unread. */
  wants(path: string): boolean {
    const what = memberKind(path);
    return (
      what !== null &&
      !(what.kind === "page" && what.name !== "kpageflags" && this.asked === "flags-only") &&
      !(what.kind === "btf" && this.asked === "flags-only")
    );
  }

  /** A symbolic link: below `sys/` a node's memory blocks are links, and their names count. */
  link(path: string): void {
    const what = memberKind(path);
    if (what !== null && what.kind === "sys" && /\/memory\d+$/.test(what.path))
      this.sysFiles.set(what.path, "");
  }

  /** A note about something the source could not give. */
  note(note: Note): void {
    this.notes.push(note);
  }

  /** Takes a member; `label` is how to name the file in an error. */
  async add(path: string, label: string, source: AsyncIterable<Uint8Array>): Promise<void> {
    const what = memberKind(path);
    if (what === null) return;
    if (what.kind === "page") await this.addPages(what.name, label, source);
    else if (what.kind === "btf") await this.addBtf(label, source);
    else {
      const text = await textOf(source, label, this.notes);
      if (text === null) return;
      if (what.kind === "sys") this.sysFiles.set(what.path, text);
      else if ((this.texts[what.name] ?? text) !== text) {
        throw new InputError(
          { file: label },
          `a second, different ${what.name} in the same source`,
          "leave one",
        );
      } else this.texts[what.name] = text;
    }
  }

  private async addPages(
    name: PageFile,
    label: string,
    source: AsyncIterable<Uint8Array>,
  ): Promise<void> {
    if (this.columns.has(name))
      throw new InputError({ file: label }, `a second ${name} in the same source`, "leave one");
    const column = new WordColumnBuilder(label);
    for await (const piece of unpacked(source, label, MAX_FRAMES * 8)) column.push(piece);
    this.columns.set(name, column.finish());
  }

  private async addBtf(label: string, source: AsyncIterable<Uint8Array>): Promise<void> {
    this.sawBtf = true;
    try {
      const bytes = await collect(unpacked(source, label, MAX_BTF));
      this.structSizes = attempt("btf", "struct sizes unknown", this.notes, () =>
        btfSizes(bytes, "btf", this.notes),
      );
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.notes.push({ subject: "btf", text: `not used (${error.reason}); struct sizes unknown` });
    }
  }

  /** The snapshot. `where` names the source in the error for a missing kpageflags. */
  finish(where: string, origin: Snapshot["origin"]): Snapshot {
    const flags = this.columns.get("kpageflags");
    if (!flags) {
      throw new InputError(
        { file: where },
        "has no kpageflags in it",
        "give a folder or tar of copied /proc files, or a capture",
      );
    }
    const counts = this.columns.get("kpagecount") ?? null;
    const cgroups = this.columns.get("kpagecgroup") ?? null;
    const pages = mergeColumns(flags, counts, cgroups);
    return assemble({
      label: where,
      origin,
      pages,
      hasMapcount: counts !== null,
      hasCgroup: cgroups !== null,
      texts: this.texts,
      sys: this.sysFiles.size > 0 ? treeOf(this.sysFiles) : null,
      structSizes: this.structSizes,
      notes: [...this.notes, ...missing(this.asked, this.columns, this.texts, this.sawBtf)],
    });
  }
}

/** Text of a member; damage in packed text is a note, since a total is all that is lost. */
async function textOf(
  source: AsyncIterable<Uint8Array>,
  label: string,
  notes: Note[],
): Promise<string | null> {
  try {
    return new TextDecoder().decode(await collect(unpacked(source, label, MAX_TEXT)));
  } catch (error) {
    if (!(error instanceof InputError) || /zoneinfo/.test(label)) throw error;
    notes.push({ subject: label.replace(/^.*[/:]/, ""), text: `not used (${error.reason})` });
    return null;
  }
}

/** Names what a source does not have. zoneinfo is named where its zone is assumed. */
function missing(
  asked: PagesAsked,
  columns: ReadonlyMap<PageFile, WordColumn>,
  texts: Partial<Record<TextFile, string>>,
  hasBtf: boolean,
): Note[] {
  const notes: Note[] = [];
  if (asked === "all" && !columns.has("kpagecount"))
    notes.push({ subject: "kpagecount", text: "not there: map counts unknown" });
  if (asked === "all" && !columns.has("kpagecgroup"))
    notes.push({ subject: "kpagecgroup", text: "not there: cgroups unknown" });
  for (const name of TEXT_FILES) {
    if (name !== "zoneinfo" && texts[name] === undefined)
      notes.push({ subject: name, text: "not there" });
  }
  if (asked === "all" && !hasBtf)
    notes.push({ subject: "btf", text: "not there: struct sizes unknown" });
  return notes;
}

/** Files by path as the small tree that the /sys readers want. */
export function treeOf(files: ReadonlyMap<string, string>): SysTree {
  const folders = new Map<string, Set<string>>();
  for (const path of files.keys()) {
    for (let cut = path.lastIndexOf("/"), rest = path; cut > 0; cut = rest.lastIndexOf("/")) {
      const parent = rest.slice(0, cut);
      const names = folders.get(parent) ?? new Set<string>();
      names.add(rest.slice(cut + 1));
      folders.set(parent, names);
      rest = parent;
    }
  }
  return {
    list: (folder) => [...(folders.get(folder) ?? [])],
    read: (path) => files.get(path) ?? null,
  };
}
