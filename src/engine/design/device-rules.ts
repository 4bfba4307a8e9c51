/**
 * How a design names, describes and hands out device memory: the axes, what
 * follows from what, and why some choices do not go together.
 *
 * Only device-private memory has a choice of name and record: memory of every
 * other kind has physical addresses and the page words of the machine. Every
 * refusal names its reason.
 *
 * Facts: system.md "Designs are values"; device-facts §1.3–1.5 (activation), §2
 * (names), §3.4 (tuple, device_private record).
 */

export const DEVICE_NAMES = ["physical", "offset", "tuple"] as const;
export const DEVICE_RECORDS = ["page", "folio", "device-private"] as const;
export const DEVICE_LIFETIMES = ["static", "chunk", "request"] as const;
export const ACTIVATIONS = ["init", "request"] as const;
const ON_OFF = ["on", "off"] as const;
const IDLE_RULES = ["strict", "any"] as const;
const ORDER_RULES = ["set", "match"] as const;
const REF_RULES = ["folio", "page"] as const;
export const PEERS = ["none", "alias"] as const;

export type DeviceNameChoice = (typeof DEVICE_NAMES)[number];
export type DeviceRecordChoice = (typeof DEVICE_RECORDS)[number];
export type DeviceLifetimeChoice = (typeof DEVICE_LIFETIMES)[number];

/** The device axes of a design. */
export interface DeviceChoice {
  /** What a device-private page is called in page tables, migrate and HMM arrays. */
  readonly deviceName: DeviceNameChoice;
  /** What describes it. */
  readonly deviceRecord: DeviceRecordChoice;
  /** When the records of a page map exist. */
  readonly deviceLifetime: DeviceLifetimeChoice;
  /** How a page is put into service: zone_device_page_init, or pgmap_request_folio. */
  readonly activation: (typeof ACTIVATIONS)[number];
  /** `init`: whether stale order and head bits are cleared first (January 2026). */
  readonly initReset: (typeof ON_OFF)[number];
  /** `request`: whether a folio that is in service may be requested once more. */
  readonly requestIdle: (typeof IDLE_RULES)[number];
  /** `request`: whether it gives the folio its order, or expects to find it. */
  readonly requestOrder: (typeof ORDER_RULES)[number];
  /** `request`: map references that a folio holds: one, or one for each page. */
  readonly requestRefs: (typeof REF_RULES)[number];
  /** Whether an owner may offer other devices an address they can reach. */
  readonly peer: (typeof PEERS)[number];
}

/** The axes as they are written, with the field each sets. */
export const DEVICE_AXES: readonly {
  readonly axis: string;
  readonly field: keyof DeviceChoice;
  readonly choices: readonly string[];
}[] = [
  { axis: "activation", field: "activation", choices: ACTIVATIONS },
  { axis: "device-lifetime", field: "deviceLifetime", choices: DEVICE_LIFETIMES },
  { axis: "device-name", field: "deviceName", choices: DEVICE_NAMES },
  { axis: "device-record", field: "deviceRecord", choices: DEVICE_RECORDS },
  { axis: "init-reset", field: "initReset", choices: ON_OFF },
  { axis: "peer", field: "peer", choices: PEERS },
  { axis: "request-idle", field: "requestIdle", choices: IDLE_RULES },
  { axis: "request-order", field: "requestOrder", choices: ORDER_RULES },
  { axis: "request-refs", field: "requestRefs", choices: REF_RULES },
];

/** What the mm tree of July 2026 does. */
export const DEVICE_TODAY: DeviceChoice = {
  deviceName: "physical",
  deviceRecord: "page",
  deviceLifetime: "static",
  activation: "init",
  initReset: "on",
  requestIdle: "strict",
  requestOrder: "set",
  requestRefs: "folio",
  peer: "none",
};

/** Why the choices cannot go together; null where they can. `compound`: stale compound state can stay in a page's word. */
export function deviceProblem(d: DeviceChoice, word: string, compound: boolean): string | null {
  return nameProblem(d) ?? activationProblem(d) ?? optionProblem(d, word, compound);
}

function nameProblem(d: DeviceChoice): string | null {
  if (d.deviceName === "physical" && d.deviceRecord !== "page")
    return `device-name=physical with device-record=${d.deviceRecord}: a pfn leads to a struct page, which there is none of`;
  return null;
}

function activationProblem(d: DeviceChoice): string | null {
  if (d.activation !== "init") return null;
  if (d.deviceLifetime === "request")
    return "activation=init with device-lifetime=request: zone_device_page_init is given a page, which exists only once it was requested";
  if (d.deviceRecord === "device-private")
    return "activation=init with device-record=device-private: zone_device_page_init initialises struct pages, which there are none of";
  if (d.deviceName === "tuple" && d.deviceRecord !== "page")
    return `activation=init with device-name=tuple and device-record=${d.deviceRecord}: there is neither a pfn nor a page to initialise`;
  return null;
}

function optionProblem(d: DeviceChoice, word: string, compound: boolean): string | null {
  if (d.activation === "init") {
    const { requestIdle, requestOrder, requestRefs } = DEVICE_TODAY;
    if (d.requestIdle !== requestIdle) return "request-idle belongs to activation=request";
    if (d.requestOrder !== requestOrder) return "request-order belongs to activation=request";
    if (d.requestRefs !== requestRefs) return "request-refs belongs to activation=request";
    if (d.initReset === "off" && (d.deviceRecord !== "page" || !compound))
      return `init-reset=off with ${word} and device-record=${d.deviceRecord}: its words are written whole, no order or head bit of an earlier folio can stay`;
    return null;
  }
  return d.initReset === "off" ? "init-reset belongs to activation=init" : null;
}
