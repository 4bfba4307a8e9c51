/**
 * The functions that build reports with designs, handed to the commands. The
 * one place where the command line meets them. They are loaded when they are
 * called: `--kinds-only` and `capture` need no engine.
 */
import type { BuildInspect, BuildPage } from "../report/ports.js";

export interface Builders {
  readonly inspect: BuildInspect;
  readonly page: BuildPage;
}

export const builders: Builders = {
  inspect: async (snapshot, request) =>
    (await import("../report/build-inspect.node.js")).inspect(snapshot, request),
  page: async (snapshot, pfn, designs) =>
    (await import("../report/build-page.node.js")).buildPage(snapshot, pfn, designs),
};
