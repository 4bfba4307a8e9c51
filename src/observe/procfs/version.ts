/**
 * /proc/version: the kernel's release, and nothing else.
 *
 * The rest of the line names the host and the user that built the kernel; it
 * is never kept.
 */
import { excerpt, InputError } from "../input-error.js";

/** `6.18.44` of `Linux version 6.18.44 (user@host) …`. */
export function parseVersion(text: string, file = "version"): string {
  const m = /^Linux version (\d{1,4}\.\d{1,4}[\w.+~-]{0,80})(?:\s|$)/.exec(text);
  if (!m)
    throw new InputError(
      { file, line: 1 },
      `not a kernel version: ${excerpt(text)}`,
      "expected `Linux version 6.…`",
    );
  return m[1];
}

/** Major and minor number of a release, or null where it has none. */
export function releaseNumbers(release: string | null): readonly [number, number] | null {
  const m = release === null ? null : /^(\d+)\.(\d+)/.exec(release);
  return m ? [Number(m[1]), Number(m[2])] : null;
}
