/**
 * Whether a policy that somebody wrote is one: a misspelt choice would otherwise
 * be taken for `never`, and say nothing.
 */
import { described, oneOf, wholeNumber } from "./arguments.js";
import { DEFAULT_POLICY, type Policy } from "./policy.js";

const ALL = ["always", "madvise", "never"] as const;
const SIZES = ["always", "madvise", "inherit", "never"] as const;
const PMD_ORDER = 9;

/** One check for each setting; throws TypeError or RangeError. */
const CHECKS: { readonly [key in keyof Policy]: (value: unknown) => unknown } = {
  thp: (value) => oneOf("policy.thp", value, ALL),
  thpOrders: checkOrders,
  useHugeZeroPage: (value) => boolean("policy.useHugeZeroPage", value),
  faultAroundPages: (value) => {
    const pages = wholeNumber("policy.faultAroundPages", value, 1, 512);
    if (!Number.isInteger(Math.log2(pages)))
      throw new RangeError(`policy.faultAroundPages is a power of two, not ${pages}`);
  },
  fileFolioOrder: (value) => wholeNumber("policy.fileFolioOrder", value, 0, PMD_ORDER),
  largeFolios: (value) => boolean("policy.largeFolios", value),
  readaheadPages: (value) => wholeNumber("policy.readaheadPages", value, 0, 65_535),
};

function checkOrders(value: unknown): void {
  if (typeof value !== "object" || value === null)
    throw new TypeError(`policy.thpOrders is an object, not ${described(value)}`);
  for (const [order, choice] of Object.entries(value)) {
    wholeNumber("an order of policy.thpOrders", Number(order), 1, PMD_ORDER);
    oneOf(`policy.thpOrders[${order}]`, choice, SIZES);
  }
}

function boolean(what: string, value: unknown): void {
  if (typeof value !== "boolean")
    throw new TypeError(`${what} is true or false, not ${described(value)}`);
}

/** Throws TypeError or RangeError for a setting that is none, or has no such value. */
export function checkPolicy(policy: unknown): void {
  if (typeof policy !== "object" || policy === null)
    throw new TypeError(`policy is an object, not ${described(policy)}`);
  for (const [name, value] of Object.entries(policy)) {
    if (value !== undefined) CHECKS[oneOf("a setting of policy", name, NAMES)](value);
  }
}

const NAMES = Object.keys(DEFAULT_POLICY) as (keyof Policy)[];

/** The same as a sentence; null for a policy that is one. */
export function policyProblem(policy: unknown): string | null {
  try {
    checkPolicy(policy);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
