/**
 * What one byte of a snapshot says of a page: kind, rights, and how it is mapped.
 *
 * Source: lib/test_hmm_uapi.h (HMM_DMIRROR_PROT_*), dmirror_mkentry in
 * lib/test_hmm.c; device-facts §4.1.
 */

export const PROT_ERROR = 0xff;
export const PROT_NONE = 0x00;
export const PROT_READ = 0x01;
export const PROT_WRITE = 0x02;
export const PROT_PMD = 0x04;
export const PROT_PUD = 0x08;
export const PROT_ZERO = 0x10;
export const PROT_DEV_PRIVATE_LOCAL = 0x20;
export const PROT_DEV_PRIVATE_REMOTE = 0x30;
export const PROT_DEV_COHERENT_LOCAL = 0x40;
export const PROT_DEV_COHERENT_REMOTE = 0x50;

const KINDS: Readonly<Record<number, string>> = {
  0: "",
  [PROT_ZERO]: "ZERO",
  [PROT_DEV_PRIVATE_LOCAL]: "DEV_PRIVATE_LOCAL",
  [PROT_DEV_PRIVATE_REMOTE]: "DEV_PRIVATE_REMOTE",
  [PROT_DEV_COHERENT_LOCAL]: "DEV_COHERENT_LOCAL",
  [PROT_DEV_COHERENT_REMOTE]: "DEV_COHERENT_REMOTE",
};

/** `DEV_PRIVATE_LOCAL|WRITE|PMD`, for people. */
export function snapshotName(code: number): string {
  if (code === PROT_ERROR) return "ERROR";
  if (code === PROT_NONE) return "NONE";
  const parts = [KINDS[code & 0xf0] ?? `kind 0x${(code & 0xf0).toString(16)}`];
  if ((code & PROT_READ) !== 0) parts.push("READ");
  if ((code & PROT_WRITE) !== 0) parts.push("WRITE");
  if ((code & PROT_PMD) !== 0) parts.push("PMD");
  if ((code & PROT_PUD) !== 0) parts.push("PUD");
  return parts.filter((p) => p !== "").join("|");
}
