/**
 * The functions that build reports with designs, handed to the commands. The
 * one place where the command line meets them.
 */
import { classify } from "../observe/classify.js";
import { factsOfPage } from "../report/facts-of-page.js";
import type { BuildInspect, BuildPage } from "../report/ports.js";
import { UsageError } from "./fail.js";

export interface Builders {
  readonly inspect: BuildInspect;
  readonly page: BuildPage;
}

export const builders: Builders = {
  inspect: () => Promise.reject(new UsageError("no design can be built yet; use --kinds-only")),
  page: (snapshot, pfn) => Promise.resolve(factsOfPage(snapshot, classify(snapshot), pfn)),
};
