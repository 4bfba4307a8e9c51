/**
 * Errors at the engine's edge. Inside the engine failure is a negative errno;
 * here it gets its name, what was asked and why it was refused. A broken
 * invariant is a RuleViolation, which is never the user's fault.
 */

/** Names of the errno values that the engine returns. */
const ERRNO: Readonly<Record<number, string>> = { 12: "ENOMEM", 22: "EINVAL", 16: "EBUSY" };

/** A refusal by the engine, with the kernel's errno. */
export class MmError extends Error {
  override readonly name = "MmError";
  /** Positive, as in errno.h. */
  readonly errno: number;
  readonly code: string;

  constructor(errno: number, asked: string, why: string) {
    const code = ERRNO[errno] ?? `errno ${errno}`;
    super(`${asked}: ${code}: ${why}`);
    this.errno = errno;
    this.code = code;
  }
}

/** A rule of the machine that does not hold: which one, at which page. */
export class RuleViolation extends Error {
  override readonly name = "RuleViolation";
  readonly rule: string;
  readonly pfn: number;

  constructor(rule: string, pfn: number, detail: string) {
    super(`${rule}: frame ${pfn}: ${detail}`);
    this.rule = rule;
    this.pfn = pfn;
  }
}
