/** What the operating system refused, in words: the errno by name and its meaning. */

const MEANING: Readonly<Record<string, string>> = {
  ENOENT: "no such file or folder",
  EACCES: "permission denied",
  EPERM: "not permitted",
  EISDIR: "is a folder",
  ENOTDIR: "a part of the path is no folder",
  ELOOP: "too many symbolic links",
  ENAMETOOLONG: "name too long",
  ENOSPC: "no space left on the device",
  EDQUOT: "disk quota used up",
  EROFS: "read-only file system",
  EIO: "the device failed to read or write (EIO)",
  EMFILE: "too many open files",
  EFBIG: "file too large",
};

/** One phrase for an error of node:fs; its message where the errno is not known. */
export function ioReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  return MEANING[code] ?? error.message;
}
