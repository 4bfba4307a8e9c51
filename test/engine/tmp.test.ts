import { test } from "vitest";
import { inspectMachine } from "../../src/engine/sanitizer/sanitizer.js";
import { Walk } from "../../src/engine/sanitizer/walk.js";
import { digest } from "./digest.js";
import { bootShape, DESIGNS, SHAPES } from "./machines.js";
test("x", () => {
  for (const shape of SHAPES.slice(0,3)) for (const d of DESIGNS) {
    const t0 = performance.now();
    const m = bootShape(shape, d);
    const t1 = performance.now();
    digest(m);
    const t2 = performance.now();
    const w = new Walk(m, shape.given);
    let err = "";
    try { for (let n = 0; n < 300; n++) w.step(Math.imul(n + 1, 0x9e3779b1) >>> 0); } catch (e) { err = String(e); }
    const t3 = performance.now();
    const v = inspectMachine(m, w.claims());
    const t4 = performance.now();
    console.log(shape.name, d, [t1-t0,t2-t1,t3-t2,t4-t3].map(x=>x.toFixed(0)).join(" "), w.size, w.failures, err, v.length, v.slice(0,2).map(String).join(" | "));
  }
}, 30000);
