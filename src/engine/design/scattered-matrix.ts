/**
 * Every combination of scattered object, lookup and home of node and zone on one
 * preset: those that can be, and those that cannot with the reason given.
 *
 * For tables, tests and the matrix; a machine has one of them.
 */
import { DesignError, parseDesign, type Design } from "./presets.js";
import { SCATTERED_OBJECTS } from "./scattered/axis.js";
import { SCATTERED_LOOKUPS } from "./scattered-lookup/axis.js";
import { SCATTERED_NIDS } from "./scattered-nid/axis.js";

/** A combination that a preset refuses. */
export interface RefusedScattered {
  /** As it was asked for. */
  readonly name: string;
  readonly reason: string;
}

export interface ScatteredMatrix {
  readonly legal: readonly Design[];
  readonly refused: readonly RefusedScattered[];
}

/** All combinations on a preset (`today`, `memdesc8+page-bits=descriptor`, …). */
export function scatteredMatrix(preset: string): ScatteredMatrix {
  const legal: Design[] = [];
  const refused: RefusedScattered[] = [];
  for (const object of SCATTERED_OBJECTS) {
    for (const lookup of ["none", ...SCATTERED_LOOKUPS]) {
      for (const nid of SCATTERED_NIDS) {
        const name = `${preset}+scattered=${object}+scattered-lookup=${lookup}+scattered-nid=${nid}`;
        try {
          legal.push(parseDesign(name));
        } catch (error) {
          if (!(error instanceof DesignError)) throw error;
          refused.push({ name, reason: error.message });
        }
      }
    }
  }
  return { legal, refused };
}
