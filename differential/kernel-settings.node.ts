/**
 * The live kernel's side of a run: whether it can be compared at all, the
 * settings that the engine must share, and the few that are changed for the
 * time of the run and put back afterwards.
 *
 * Changed: khugepaged sleeps, because when it comes round is chance; huge pages
 * are reserved for hugetlb where a run uses them.
 */
import { spawnSync } from "node:child_process";
import {
  accessSync,
  constants,
  existsSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { release, tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import type { MachineConfig } from "./subject.js";

const THP = "/sys/kernel/mm/transparent_hugepage";
const SLEEP = `${THP}/khugepaged/scan_sleep_millisecs`;
const POOL = "/sys/kernel/mm/hugepages/hugepages-2048kB";
/** Longest sleep that khugepaged takes: 49 days. */
const ASLEEP = "4294967295";
/** The kernel's default, taken where a run that was killed left `ASLEEP` behind. */
const AWAKE = "10000";
/** Default of read_ahead_kb in pages, used where the device does not tell. */
const READAHEAD = 32;
/** Default of fault_around_bytes, used where debugfs does not tell. */
const FAULT_AROUND = 65536;

/** Why this machine cannot be compared with; null where it can. */
export function whyNot(): string | null {
  if (process.platform !== "linux") return "this is not Linux";
  if (process.arch !== "x64") return `the executor's addresses are for x86-64, not ${process.arch}`;
  if (process.getuid?.() !== 0) return "page frames are only shown to root";
  if (compiler() === null) return "there is no C compiler (cc, gcc or clang)";
  for (const file of ["/proc/kpagecount", "/proc/kpageflags", "/proc/self/pagemap"])
    if (!existsSync(file)) return `${file} is not there`;
  return null;
}

/** A C compiler on the path. */
export function compiler(): string | null {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  for (const name of ["cc", "gcc", "clang"])
    for (const folder of folders)
      if (folder !== "" && isProgram(join(folder, name))) return join(folder, name);
  return null;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The word in brackets, or the whole text. */
function chosen(path: string): string | null {
  const text = readText(path);
  return text === null ? null : (/\[([^\]]+)\]/.exec(text)?.[1] ?? text);
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return null;
  }
}

/**
 * Readahead of the file system that a folder lies on, in pages (bdi's
 * read_ahead_kb), and whether that file system makes large folios, which ext4
 * does from 6.16 on.
 */
function readDisk(folder: string): { readaheadPages: number; largeFolios: boolean } {
  const device = statSync(folder).dev;
  // As glibc takes st_dev apart.
  const major = (device >>> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  const text = readText(`/sys/class/bdi/${major}:${minor}/read_ahead_kb`);
  const [, v, minorVersion] = /^(\d+)\.(\d+)/.exec(release()) ?? [];
  const mounts = readText("/proc/self/mountinfo") ?? "";
  const kind = new RegExp(` ${major}:${minor} .* - (\\S+) `).exec(mounts)?.[1];
  const recent = Number(v) > 6 || (Number(v) === 6 && Number(minorVersion) >= 16);
  const largeFolios = kind === "xfs" || (kind === "ext4" && recent);
  return { readaheadPages: text === null ? READAHEAD : Number(text) / 4, largeFolios };
}

/** What the kernel at hand is set to. `hugetlbPages`: those reserved for the run. */
export function readConfig(hugetlbPages: number): MachineConfig {
  const thp = new Map<string, string>();
  for (const name of ["enabled", "defrag", "shmem_enabled", "use_zero_page"]) {
    const value = chosen(join(THP, name));
    if (value !== null) thp.set(name, value);
  }
  for (const size of existsSync(THP) ? readdirSync(THP) : []) {
    const value = size.startsWith("hugepages-") ? chosen(join(THP, size, "enabled")) : null;
    if (value !== null) thp.set(`${size}/enabled`, value);
    const shmem = size.startsWith("hugepages-") ? chosen(join(THP, size, "shmem_enabled")) : null;
    if (shmem !== null) thp.set(`${size}/shmem_enabled`, shmem);
  }
  const kib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readText("/proc/meminfo") ?? "")?.[1] ?? 0);
  const around = readText("/sys/kernel/debug/fault_around_bytes");
  return {
    release: release(),
    hugetlbPages,
    faultAroundBytes: around === null ? FAULT_AROUND : Number(around),
    ...readDisk(tmpdir()),
    thp,
    memoryPages: kib("MemTotal") / 4,
    swapBytes: kib("SwapTotal") * 1024,
    overcommit: Number(readText("/proc/sys/vm/overcommit_memory") ?? 0),
  };
}

/** Settings changed for a run. */
export interface Changed {
  /** Huge pages that the hugetlb pool has for the run. */
  readonly hugetlbPages: number;
  /** What could not be had, a line each. */
  readonly missing: readonly string[];
  /** Puts everything back. May be called more than once. */
  restore(): void;
}

/** Prepares the kernel for a run that uses this many huge pages of hugetlb. */
export function changeSettings(hugetlbPages: number): Changed {
  const before = new Map<string, string>();
  const missing: string[] = [];
  const set = (path: string, value: string): boolean => {
    const old = readText(path);
    if (old === null) return false;
    try {
      writeFileSync(path, value);
    } catch {
      return false;
    }
    before.set(path, path === SLEEP && old === ASLEEP ? AWAKE : old);
    return true;
  };
  if (existsSync(THP) && !set(SLEEP, ASLEEP)) missing.push("khugepaged could not be put to sleep");
  let pool = 0;
  // Reserved for somebody else, or for nobody any more (the kernel can leak reservations): on top.
  const reserved = Number(readText(`${POOL}/resv_hugepages`) ?? 0);
  if (hugetlbPages > 0 && set(`${POOL}/nr_hugepages`, String(hugetlbPages + reserved)))
    pool = Number(readText(`${POOL}/nr_hugepages`)) - reserved;
  if (pool < hugetlbPages) missing.push(`hugetlb: ${pool} of ${hugetlbPages} huge pages reserved`);
  return {
    hugetlbPages: pool,
    missing,
    restore() {
      for (const [path, old] of before) writeFileSync(path, old);
      before.clear();
    },
  };
}

/** Compiles the executor. Gives the compiler's words where it does not. */
export function compileExecutor(sources: readonly string[], to: string): string | null {
  const cc = compiler();
  if (cc === null) return "there is no C compiler";
  for (const how of [["-static"], []]) {
    const ran = spawnSync(cc, ["-O2", "-Wall", "-Wextra", ...how, "-o", to, ...sources], {
      encoding: "utf8",
    });
    if (ran.status === 0) return null;
    if (how.length === 0) return (ran.stderr ?? "").trim() || `${cc} ended with ${ran.status}`;
  }
  return null;
}
