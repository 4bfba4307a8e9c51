/**
 * Tests: everything under test/. Those in test/cli run the built command line,
 * which is built once before them; the others run the sources as they are. Two
 * workers, because the machines that run this have two cores and several tests
 * hold a whole machine's pages in memory.
 */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: { name: "rules", include: ["test/**/*.test.ts"], exclude: ["test/cli/**"] },
      },
      {
        extends: true,
        test: {
          name: "cli",
          include: ["test/cli/**/*.test.ts"],
          globalSetup: ["test/cli/build.ts"],
        },
      },
    ],
  },
});
