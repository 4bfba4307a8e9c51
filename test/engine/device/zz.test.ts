import { test } from "vitest";
import { parseDesign } from "../../../src/engine/design/presets.js";
import { numbers } from "../../../src/engine/sanitizer/process/program.js";
import { DeviceWalk } from "../../../src/engine/sanitizer/device/walk.js";
test("stats", () => {
  for (const mutant of [null, "zero-pfn", "aliasing", "pmd-walk"] as const) {
    const found: string[] = [];
    for (const seed of [1,2,3]) {
    const walk = new DeviceWalk(parseDesign("device-offset+peer=alias"));
    if (mutant) walk.devices.mutants.set(mutant);
    let step = 0;
    try {
      for (const n of numbers(seed * 7919)) {
        walk.step(n);
        if (step % 20 === 19) { const v = walk.check(); if (v.length) throw v[0]; }
        if (++step === 600) break;
      }
      const v = [...walk.check(), ...walk.finish()]; if (v.length) throw v[0];
      if (mutant === null) console.log(seed, "clean", walk.devices.migrate.toDevice, walk.devices.migrate.toSystem, walk.devices.migrate.refused, walk.devices.hmm.peers.given, walk.walk.failures);
    } catch (e) { found.push(`seed ${seed} step ${step}: ${String((e as Error).message).slice(0, 140)}`); }
    }
    console.log(mutant, found);
  }
}, 600000);
