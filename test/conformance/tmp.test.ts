import { it } from "vitest";
import { Rig } from "../../conformance/harness.js";
import { BASE_PAGES } from "../../conformance/cases/base-pages.js";
import { HUGE_PAGES } from "../../conformance/cases/huge-pages.js";
import { VARIANTS } from "../../conformance/cases/case.js";
import { parseDesign } from "../../src/engine/design/presets.js";
it("x", () => {
  const t = performance.now();
  const make = () => new Rig(parseDesign(process.env.D ?? "today"), { largest: 4, seed: 1, now: () => performance.now() });
  let rig = make();
  console.log("boot", performance.now() - t);
  for (const c of [...BASE_PAGES, ...HUGE_PAGES]) {
    if (!c.name.includes(process.env.C ?? "")) continue;
    for (const v of VARIANTS) {
      const r = rig.run(c, v);
      console.log(`${r.name} ${v} ${r.ms.toFixed(1)} ${r.failure ?? "ok"}`);
      if (rig.broken) rig = make();
    }
  }
});
