/**
 * The functions that build reports with designs, handed to the commands. The
 * one place where the command line meets them.
 */
import { inspect } from "../report/build-inspect.node.js";
import { buildPage } from "../report/build-page.node.js";
import type { BuildInspect, BuildPage } from "../report/ports.js";

export interface Builders {
  readonly inspect: BuildInspect;
  readonly page: BuildPage;
}

export const builders: Builders = { inspect, page: buildPage };
