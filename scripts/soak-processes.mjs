/**
 * The soak run of processes: random programs on kernels of several sizes, in each
 * design, beside the naive reference; every rule of the sanitizer again and again;
 * everything ended at the end, nothing left. Beside each walk runs a life of
 * scattered memory, an eighth as long.
 *
 * Programs are of a few thousand steps each, on a kernel of their own: a machine
 * that has lived long differs less from another one than two young ones do.
 */
import { designProduct } from "../dist/engine/design/axes.js";
import { coveringArray } from "../dist/engine/design/covering.js";
import { parseDesign } from "../dist/engine/design/presets.js";
import { runDesign } from "../dist/engine/sanitizer/process/design-run.js";

/** Designs in which every two values of two axes that go together do. */
export const pairwiseDesigns = () => coveringArray(designProduct().legal).map((c) => c.design.name);

/** Steps of one walk. */
const PROGRAM = 4000;
/** Steps of the life of scattered memory beside it, of each so many. */
const SCATTERED = 8;

/** Runs one design; how many programs broke a rule. `stopped` says when to end early. */
export async function soakProcesses(name, { ops, seed, every }, stopped, progress) {
  const design = parseDesign(name);
  const started = performance.now();
  let [done, refusals, broken] = [0, 0, 0];
  for (let i = 0; done < ops && !stopped(); i++) {
    const steps = Math.min(
      PROGRAM,
      Math.max(1, Math.ceil(((ops - done) * SCATTERED) / (SCATTERED + 1))),
    );
    const scatteredSteps = Math.ceil(steps / SCATTERED);
    const run = runDesign({ design, seed: seed + i, steps, scatteredSteps, every });
    done += run.steps;
    refusals += run.refusals;
    progress(`${name}: ${done} of ${ops} steps, ${refusals} refusals`);
    if (run.violations.length > 0) {
      broken++;
      progress("");
      console.log(`  ${name}:`);
      for (const line of run.violations) console.log(`    ${line}`);
      // A run that ends at its first steps again and again would never come to its end.
      if (run.steps === 0) break;
    }
    // Lets Ctrl-C be heard between programs.
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  progress("");
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `${name}: ${done} steps of processes, seed ${seed}, ${seconds} s, ${refusals} refusals, ${broken} programs with violations${stopped() ? ", interrupted" : ""}`,
  );
  return broken;
}
