/**
 * Limits of memory cgroups: memory is got back from the subtree of the cgroup
 * whose limit is reached, whoever asked; a lower limit is enforced at once.
 *
 * Source: mm/memcontrol.c of 6.18 (try_charge_memcg, memory_max_write).
 */
import { describe, expect, test } from "vitest";
import { MAP_ANONYMOUS, MAP_PRIVATE } from "../../../src/engine/process/constants.js";
import type { Kernel } from "../../../src/engine/process/kernel.js";
import type { Process } from "../../../src/engine/process/process.js";
import { inspectKernel } from "../../../src/engine/sanitizer/process/sanitizer.js";
import type { Ref } from "../../../src/units.js";
import { bootKernel, told } from "./kernels.js";

const PAGE = 4096;
const ANON = MAP_PRIVATE | MAP_ANONYMOUS;

interface Member {
  readonly p: Process;
  readonly at: number;
  readonly memcg: Ref;
}

function member(kernel: Kernel, parent: Ref, limit?: number): Member {
  const memcg = kernel.createMemcg(limit, parent);
  const p = kernel.createProcess(memcg);
  return { p, at: p.mmap({ length: 1024 * PAGE, prot: 3, flags: ANON }), memcg };
}

function fill({ p, at }: Member, pages: number): void {
  for (let i = 0; i < pages; i++) p.write(at + i * PAGE, Uint8Array.of(i % 250, 1));
}

const kept = ({ p, at }: Member, pages: number): boolean =>
  Array.from({ length: pages }, (_, i) => i).every(
    (i) => p.read(at + i * PAGE, 2).join() === `${i % 250},1`,
  );

describe.each(["today", "memdesc16", "memdesc8", "slot64"])("%s", (design) => {
  test("under a parent's limit the sibling's pages go to swap", () => {
    const kernel = bootKernel({ memory: "32MiB", swap: "4MiB" }, design);
    const top = kernel.createMemcg(100);
    const [a, b] = [member(kernel, top), member(kernel, top)];
    fill(a, 90);
    fill(b, 90);
    expect(a.p.rss.anon + b.p.rss.anon).toBeLessThanOrEqual(100);
    expect(a.p.rss.swap).toBeGreaterThan(0);
    expect(kept(a, 90) && kept(b, 90)).toBe(true);
    expect(told(inspectKernel(kernel))).toEqual([]);
  });

  test("one that fills the limit alone leaves room for the other", () => {
    const kernel = bootKernel({ memory: "32MiB", swap: "4MiB" }, design);
    const top = kernel.createMemcg(100);
    const [a, b] = [member(kernel, top), member(kernel, top)];
    fill(a, 100);
    fill(b, 20);
    expect(b.p.rss.anon).toBe(20);
  });

  test("a cgroup's own limit takes its own pages, not its sibling's", () => {
    const kernel = bootKernel({ memory: "32MiB", swap: "4MiB" }, design);
    const top = kernel.createMemcg(400);
    const [a, b] = [member(kernel, top, 50), member(kernel, top)];
    fill(b, 90);
    fill(a, 90);
    expect([b.p.rss.anon, b.p.rss.swap]).toEqual([90, 0]);
    expect(a.p.rss.swap).toBeGreaterThanOrEqual(40);
  });
});

test("with nothing to get back in the whole subtree the process is killed", () => {
  const kernel = bootKernel({ memory: "32MiB" }, "today");
  const top = kernel.createMemcg(100);
  const [a, b] = [member(kernel, top), member(kernel, top)];
  fill(a, 90);
  expect(() => fill(b, 20)).toThrow(/SIGKILL/);
  expect(kept(a, 90)).toBe(true);
});

test("a limit set below usage takes what is above it", () => {
  const kernel = bootKernel({ memory: "32MiB", swap: "4MiB" }, "today");
  const { memcgs } = kernel.base;
  const top = kernel.createMemcg(400);
  const a = member(kernel, top);
  fill(a, 200);
  memcgs.setMax(top, 60);
  expect(memcgs.usage(top)).toBeLessThanOrEqual(60);
  expect(kept(a, 200)).toBe(true);
  expect(told(inspectKernel(kernel))).toEqual([]);
});

test("and stays above it where there is nowhere to put it", () => {
  const kernel = bootKernel({ memory: "32MiB" }, "today");
  const { memcgs } = kernel.base;
  const a = member(kernel, 0 as Ref);
  fill(a, 200);
  memcgs.setMax(a.memcg, 60);
  expect([memcgs.usage(a.memcg), memcgs.max(a.memcg)]).toEqual([200, 60]);
  expect(() => a.p.write(a.at + 500 * PAGE, Uint8Array.of(1))).toThrow(/SIGKILL/);
  expect(kept(a, 200)).toBe(true);
});
