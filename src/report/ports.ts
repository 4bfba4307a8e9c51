/**
 * What the command line asks of the functions that build reports, so that both
 * sides are typed against one place.
 */
import type { Snapshot } from "../observe/snapshot.js";
import type { InspectReport } from "./model.js";
import type { PageReport } from "./page-model.js";

/** A device to price. */
export interface DeviceAsked {
  /** Pages of its private memory. */
  readonly pages: number;
  /** Order of the folios that they are in service as. */
  readonly order: number;
}

export interface InspectRequest {
  /** Design strings, `preset[+axis=choice…]`; today is always built for comparison. */
  readonly designs: readonly string[];
  /** What-ifs as typed, `file-order=4`. */
  readonly whatIf: readonly string[];
  /** Do the round trip in every design. */
  readonly verify: boolean;
  /** A device to price beside the machine; none where left out. */
  readonly device?: DeviceAsked | undefined;
  /** Called when a design, or a device on one, is done: so many of so many. */
  readonly onDone?: (done: number, total: number) => void;
}

/** Builds the report; throws InputError for a design or what-if that does not exist or fit. */
export type BuildInspect = (snapshot: Snapshot, request: InspectRequest) => Promise<InspectReport>;

/** Tells everything about one page; throws InputError for a frame beyond the source. */
export type BuildPage = (
  snapshot: Snapshot,
  pfn: number,
  designs: readonly string[],
) => Promise<PageReport>;
