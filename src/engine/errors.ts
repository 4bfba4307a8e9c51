/**
 * Errors at the engine's edge. Inside the engine failure is a negative errno;
 * here it gets its name, what was asked and why it was refused. A broken
 * invariant is a RuleViolation, which is never the user's fault.
 */

/** Names of the errno values that the engine returns. */
const ERRNO: Readonly<Record<number, string>> = {
  1: "EPERM",
  4: "EINTR",
  5: "EIO",
  6: "ENXIO",
  9: "EBADF",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  16: "EBUSY",
  17: "EEXIST",
  22: "EINVAL",
  28: "ENOSPC",
  75: "EOVERFLOW",
  95: "EOPNOTSUPP",
  133: "EHWPOISON",
};

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

  constructor(result: number, addr: number, write: boolean, pid: number) {
    const [signal, why] = SIGNALS[result] ?? ["SIGSEGV", `fault ${result}`];
    super(`process ${pid} ${write ? "writes" : "reads"} 0x${addr.toString(16)}: ${signal}: ${why}`);
    this.signal = signal;
    this.addr = addr;
  }
}
