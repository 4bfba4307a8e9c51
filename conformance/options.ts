/**
 * The arguments of `npm run conformance`. Anything that means nothing is refused
 * with one line that says what would.
 */
import { availableParallelism } from "node:os";
import { Command, InvalidArgumentError, Option } from "commander";
import { deviceAxes, deviceProduct, plainAxes } from "../src/engine/design/device-axes.js";
import { coveringArray } from "../src/engine/design/covering.js";
import { DesignError, parseDesign, type Design } from "../src/engine/design/presets.js";
import { VARIANTS, type Variant } from "./cases/case.js";
import { CASES } from "./cases/index.js";

export interface Options {
  readonly designs: readonly Design[];
  readonly cases: readonly string[];
  readonly variants: readonly Variant[];
  readonly jobs: number;
  readonly json: boolean;
  readonly largest: number;
  readonly seed: number;
}

const SIZES = ["4", "8", "128"] as const;
const JOBS_MAX = 256;

const EXAMPLES = `
Examples:
  $ npm run conformance                                 every combination (145 designs)
  $ npm run conformance -- --pairs                      those that cover every pair of choices
  $ npm run conformance -- --design device-tuple        one design
  $ npm run conformance -- --case hmm.exclusive,snapshot --variant device_private

Exit codes: 0 every case holds, 1 one does not, 2 could not be run, 130 stopped by Ctrl-C.`;

/** `a,b` or repeated. */
function list(value: string, before: readonly string[] = []): string[] {
  const items = value.split(",").map((item) => item.trim());
  if (items.includes("")) throw new InvalidArgumentError("an item of the list is empty.");
  return [...before, ...items];
}

function designs(value: string, before: readonly Design[] = []): Design[] {
  try {
    return [...before, ...list(value).map((text) => parseDesign(text))];
  } catch (error) {
    if (error instanceof DesignError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}

/** Cases by their name, with or without the fixture. */
function cases(value: string, before: readonly string[] = []): string[] {
  const found = list(value).map((item) => {
    const one = CASES.find(({ name }) => name === item || name.split(".")[1] === item);
    if (one === undefined)
      throw new InvalidArgumentError(
        `there is no case "${item}"; some are ${CASES.slice(0, 4)
          .map(({ name }) => name)
          .join(", ")}, … ${CASES.at(-1)?.name}.`,
      );
    return one.name;
  });
  return [...before, ...found];
}

function variants(value: string, before: readonly Variant[] = []): Variant[] {
  const found = list(value).map((item) => {
    const one = VARIANTS.find((v) => v === item);
    if (one === undefined) throw new InvalidArgumentError(`variants are ${VARIANTS.join(", ")}.`);
    return one;
  });
  return [...before, ...found];
}

const whole =
  (least: number, most: number) =>
  (value: string): number => {
    const n = /^\d+$/.test(value) ? Number(value) : NaN;
    if (n >= least && n <= most) return n;
    throw new InvalidArgumentError(`give a whole number, ${least} … ${most}.`);
  };

/** The command without what it does; throws CommanderError instead of leaving the process. */
function makeCommand(): Command {
  return new Command("conformance")
    .description(`The kernel's ${CASES.length} HMM self-test cases on designs of device memory.`)
    .option("--design <list>", "designs to run; every legal combination where left out", designs)
    .option("--pairs", "only combinations that cover every pair of choices, options included")
    .option("--every", "also every option of page words and of activation (2,652 designs, hours)")
    .option("--case <list>", "cases to run, by name (all)", cases)
    .option("--variant <list>", `variants to run (${VARIANTS.join(",")})`, variants)
    .addOption(
      new Option("--largest <pmds>", "largest size of benchmark_thp_migration, in huge pages")
        .choices(SIZES)
        .default("4"),
    )
    .option("--seed <n>", "seed of what anon_teardown draws by lot", whole(0, 2 ** 32 - 1), 1)
    .option("--jobs <n>", "threads at once", whole(1, JOBS_MAX), availableParallelism())
    .option("--json", "print JSON")
    .addHelpText("after", EXAMPLES)
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({
      outputError: (text, write) =>
        write(
          `conformance: ${text
            .trim()
            .replace(/^error: /, "")
            .replace(/\s*\n\s*/g, " ")} (see --help)\n`,
        ),
    });
}

/** Reads the arguments. Throws CommanderError, with its line printed. */
export function readOptions(words: readonly string[]): Options {
  const command = makeCommand().parse(words, { from: "user" });
  const given = command.opts<{
    design?: Design[];
    pairs?: boolean;
    every?: boolean;
    case?: string[];
    variant?: Variant[];
    largest: string;
    seed: number;
    jobs: number;
    json?: boolean;
  }>();
  const choosing = [given.design !== undefined, given.pairs, given.every].filter(Boolean);
  if (choosing.length > 1)
    command.error("error: --design, --pairs and --every choose the designs: give one of them");
  return {
    designs: given.design ?? designsOf(given.pairs ? "pairs" : given.every ? "every" : "plain"),
    cases: given.case ?? CASES.map(({ name }) => name),
    variants: given.variant ?? VARIANTS,
    jobs: given.jobs,
    json: given.json === true,
    largest: Number(given.largest),
    seed: given.seed,
  };
}

/**
 * Every legal combination of page word, name, record, lifetime and activation; with
 * `every` also of what can be chosen within them; or those that cover all pairs of that.
 */
export function designsOf(which: "plain" | "every" | "pairs"): Design[] {
  const { legal } = deviceProduct(which === "plain" ? plainAxes() : deviceAxes());
  return (which === "pairs" ? coveringArray(legal) : legal).map(({ design }) => design);
}
