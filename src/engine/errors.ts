/**
 * Errors at the engine's edge. Inside the engine failure is a negative errno;
 * here it gets its name, what was asked and why it was refused. A broken
 * invariant is a RuleViolation, which is never the user's fault.
 */

/** Numbers of errno.h by name: what the engine returns (below zero) and MmError carries. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EINVAL: 22,
  ENOSPC: 28,
  ERANGE: 34,
  EDEADLK: 35,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
  EHWPOISON: 133,
} as const;

const ERRNO_NAMES = new Map<number, string>(Object.entries(ERRNO).map(([name, n]) => [n, name]));

/** Name of an errno, of either sign: `ENOMEM` for 12 and −12; `errno 200` for one without a name here. */
export const errnoName = (errno: number): string =>
  ERRNO_NAMES.get(Math.abs(errno)) ?? `errno ${Math.abs(errno)}`;

/** A refusal by the engine, with the kernel's errno. */
export class MmError extends Error {
  override readonly name = "MmError";
  /** Positive, as in errno.h. */
  readonly errno: number;
  /** Its name: `ENOMEM`. */
  readonly code: string;

  constructor(errno: number, asked: string, why: string) {
    const code = errnoName(errno);
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

/** Why an access went wrong, by what the fault came to. */
const SIGNALS: Readonly<Record<number, readonly [string, string]>> = {
  [-1011]: ["SIGSEGV", "nothing is mapped there that allows it"],
  [-1007]: ["SIGBUS", "there is no page behind the mapping"],
  [-1133]: ["SIGBUS", "the page is poisoned"],
  [-12]: ["SIGKILL", "out of memory"],
};

/** An access that no page could be had for: the signal that the process gets. */
export class SignalError extends Error {
  override readonly name = "SignalError";
  /** SIGSEGV, SIGBUS, or SIGKILL where memory ran out. */
  readonly signal: string;
  /** Byte address of the access. */
  readonly addr: number;

  /** `why` where more is known than what the fault came to. */
  constructor(result: number, addr: number, write: boolean, pid: number, why?: string) {
    const [signal, usual] = SIGNALS[result] ?? ["SIGSEGV", `fault ${result}`];
    const does = write ? "writes" : "reads";
    super(`process ${pid} ${does} 0x${addr.toString(16)}: ${signal}: ${why ?? usual}`);
    this.signal = signal;
    this.addr = addr;
  }
}
