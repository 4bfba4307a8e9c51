/**
 * The sums behind the figures of a device, as one would write them: what was
 * measured, what of it grows with pages, and by how much it was multiplied.
 */
import { formatBytes, formatCount, PAGE_SIZE } from "../units.js";
import { plural } from "./format.js";
import type { Arithmetic, DeviceRow } from "./model.js";

/** One thing that frames were taken for, as measured. */
export interface MeasuredPart {
  readonly what: string;
  readonly size: number;
  /** Objects that the map itself needs, and those that come with its pages. */
  readonly fixed: number;
  readonly grown: number;
  /** Frames while the device is idle, and with every page in service. */
  readonly idleFrames: number;
  readonly frames: number;
  readonly assumed: boolean;
  readonly source: string;
}

/** Pages of the device, and of the one that was built. */
interface Sizes {
  readonly pages: number;
  readonly built: number;
}

/** Four sums: idle in each lifetime, and in service. */
export function explainDevice(
  row: Omit<DeviceRow, "change">,
  measured: readonly MeasuredPart[],
  pages: number,
  built: number,
): Arithmetic[] {
  const sizes = { pages, built };
  const device = `device of ${formatBytes(pages * PAGE_SIZE)}, ${row.words} ${row.name} ${row.record}`;
  const line = (what: string, value: number, sum: string, source: string): Arithmetic => ({
    figure: `${device}, ${what}`,
    value,
    unit: "bytes",
    sum,
    source,
  });
  const idleParts = measured.filter((part) => part.idleFrames > 0);
  const once = "measured: what the page map takes, no record exists yet";
  return [
    line(
      "idle, static",
      row.idle.static,
      sumOf(idleParts, row.parts, "idle", sizes),
      howMeasured(measured, "idleFrames", sizes),
    ),
    line("idle, chunk", row.idle.chunk, frameSum(row.idle.chunk), once),
    line("idle, request", row.idle.request, frameSum(row.idle.request), once),
    line(
      "in service",
      row.inService,
      sumOf(measured, row.parts, "bytes", sizes),
      howMeasured(measured, "frames", sizes),
    ),
  ];
}

const frameSum = (bytes: number): string =>
  `${formatCount(bytes / PAGE_SIZE)} × ${formatCount(PAGE_SIZE)} B`;

function sumOf(
  measured: readonly MeasuredPart[],
  parts: DeviceRow["parts"],
  field: "idle" | "bytes",
  sizes: Sizes,
): string {
  const terms = measured.map((part) => {
    const bytes = parts.find(({ what }) => what === part.what)?.[field] ?? 0;
    return `${part.what} ${objects(part, field, sizes)} × ${part.size} B in ${plural(bytes / PAGE_SIZE, "frame")}`;
  });
  const all = parts.reduce((sum, part) => sum + part[field], 0);
  return `${terms.join(" + ")} = ${frameSum(all)}`;
}

/** `262,144 × 80`, `(2 + 5,222 × 80)`, `1`. */
function objects(part: MeasuredPart, field: "idle" | "bytes", sizes: Sizes): string {
  const grows = part.grown > 0 && (field === "bytes" || part.what === "records");
  if (!grows) return formatCount(part.fixed);
  const { pages, built } = sizes;
  if (pages === built) return formatCount(part.fixed + part.grown);
  const grown = `${formatCount(part.grown)} × ${timesOf(sizes)}`;
  return part.fixed === 0 ? grown : `(${formatCount(part.fixed)} + ${grown})`;
}

/** `80`, or a fraction where it is no whole number. */
const timesOf = ({ pages, built }: Sizes): string =>
  pages % built === 0 ? formatCount(pages / built) : `${formatCount(pages)}/${formatCount(built)}`;

function howMeasured(
  measured: readonly MeasuredPart[],
  field: "idleFrames" | "frames",
  sizes: Sizes,
): string {
  const frames = measured.reduce((sum, part) => sum + part[field], 0);
  const whole = `${plural(frames, "frame")} taken`;
  if (sizes.pages === sizes.built) return `measured: ${whole}`;
  const size = formatBytes(sizes.built * PAGE_SIZE);
  return `measured on ${size} × ${timesOf(sizes)}: ${whole} there; what grows with pages multiplied by objects`;
}
