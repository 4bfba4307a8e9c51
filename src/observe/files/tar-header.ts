/**
 * What a tar looks like, without the library that reads one: a header block is
 * 512 bytes whose checksum is right (POSIX ustar).
 */

/** True where 512 bytes are a tar header: its checksum is right. */
export function isTarHeader(block: Uint8Array): boolean {
  if (block.length < 512) return false;
  let sum = 0;
  for (let i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? 32 : block[i];
  const text = new TextDecoder("latin1").decode(block.subarray(148, 156));
  const octal = /^\s*([0-7]{1,7})[\s\0]*$/.exec(text);
  return octal !== null && parseInt(octal[1], 8) === sum;
}
