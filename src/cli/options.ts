/**
 * Options that several commands share, and how their values are read.
 */
import { InvalidArgumentError } from "commander";
import { DEFAULT_DESIGNS } from "../engine/design/default-designs.js";
import { PMD_ORDER } from "../engine/process/constants.js";
import type { DeviceAsked } from "../report/ports.js";
import { PAGE_SIZE, parseBytes } from "../units.js";
import { UsageError } from "./fail.js";

/** `a,b` or repeated: commander calls it once per occurrence. */
function collectList(value: string, before: readonly string[] | undefined): string[] {
  const items = value.split(",").map((item) => item.trim());
  if (items.some((item) => item === "")) {
    throw new InvalidArgumentError("an item of the list is empty.");
  }
  return [...(before ?? []), ...items];
}

/** Designs to build when none is asked for, as help shows them. */
export const DESIGNS_HELP = `designs to compare (${DEFAULT_DESIGNS.join(",")})`;

/** A list of designs, comma-separated or repeated, as typed. */
export const collectDesigns = collectList;

/**
 * The designs asked for as canonical names, the usual ones where none was.
 * Throws UsageError, naming the option, for one that does not exist. The designs are loaded here
 * and not at start: most commands need none.
 */
export async function canonicalDesigns(
  asked: readonly string[] | undefined,
  option = "--designs",
): Promise<readonly string[]> {
  if (asked === undefined) return DEFAULT_DESIGNS;
  const { DesignError, parseDesigns } = await import("../engine/design/presets.js");
  try {
    return parseDesigns(asked.join(",")).map((design) => design.name);
  } catch (error) {
    throw error instanceof DesignError ? new UsageError(`${option}: ${error.message}`) : error;
  }
}

/** `K=V`, comma-separated or repeated. */
export function collectWhatIf(value: string, before: readonly string[] | undefined): string[] {
  const items = collectList(value, before);
  const wrong = items.find((item) => !/^[a-z][a-z-]*=\S+$/.test(item));
  if (wrong !== undefined) {
    throw new InvalidArgumentError(`"${wrong}" is not of the form name=value (file-order=4).`);
  }
  return items;
}

const HUGE_BYTES = PAGE_SIZE * 2 ** PMD_ORDER;
const DEVICE_BYTES_MAX = 2 ** 40;

/** `SIZE` or `SIZE:huge`, once: pages of a device, the last one whole, and the order they are used in. */
export function parseDevice(value: string, before: DeviceAsked | undefined): DeviceAsked {
  if (before !== undefined) throw new InvalidArgumentError("give one device only.");
  const [size = "", suffix, ...more] = value.split(":");
  if ((suffix !== undefined && suffix !== "huge") || more.length > 0)
    throw new InvalidArgumentError('only "huge" may stand behind a colon (80GiB:huge).');
  const bytes = parseBytes(size);
  if (bytes === undefined) throw new InvalidArgumentError(`"${size}" is no size (80GiB).`);
  if (bytes < HUGE_BYTES) throw new InvalidArgumentError("a device has 2 MiB at least.");
  if (bytes > DEVICE_BYTES_MAX) throw new InvalidArgumentError("a device has 1 TiB at most.");
  const huge = suffix === "huge";
  if (huge && bytes % HUGE_BYTES !== 0)
    throw new InvalidArgumentError(`${size} is no multiple of 2 MiB, the size of a huge page.`);
  return { pages: Math.ceil(bytes / PAGE_SIZE), order: huge ? PMD_ORDER : 0 };
}

/** Largest frame number: 2^32 frames are 16 TiB. */
const MAX_PFN = 2 ** 32 - 1;

/** A page frame number, decimal or 0x-hexadecimal. */
export function parsePfn(value: string): number {
  const pfn = /^(0x[0-9a-f]+|\d+)$/i.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(pfn)) {
    throw new InvalidArgumentError("give a page frame number, decimal or as 0x….");
  }
  if (pfn > MAX_PFN) throw new InvalidArgumentError(`frame numbers end at ${MAX_PFN} (16 TiB).`);
  return pfn;
}
