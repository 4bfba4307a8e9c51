import { test } from "vitest";
import { Rig } from "../../../conformance/harness.js";
import { CASES } from "../../../conformance/cases/index.js";
import { Provenance } from "../../../src/engine/device/provenance.js";
import { parseDesign } from "../../../src/engine/design/presets.js";
test.each(["today", "device-offset", "device-tuple"])("%s", (name) => {
  let rig = new Rig(parseDesign(name), { largest: 1, seed: 1, now: () => Date.now() });
  const p = Provenance.watch(rig.devices);
  const t0 = Date.now();
  for (const c of CASES) for (const v of ["device_private", "device_coherent"] as const) {
    const t = Date.now();
    const r = rig.run(c, v);
    if (r.failure !== null) { console.log(r.name, v, r.failure.slice(0, 300));  }
    if (Date.now() - t > 500) console.log(c.name, Date.now() - t);
  }
  console.log(name, Date.now() - t0, p.violations.length, p.violations.slice(0, 8).map((x) => x.message));
  console.log(p.uses().map((u) => `${u.site} | ${u.does} | ${u.holder} | ${u.kind} | ${u.told} | ${u.times} | ${u.privates}`).join("\n"));
});
