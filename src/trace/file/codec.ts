/** What the host gives to a trace file: deflate without a frame (RFC 1951), and back. */
export interface TraceCodec {
  deflate(bytes: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** Unpacks to `length` bytes at most, or throws. */
  inflate(bytes: Uint8Array, length: number): Uint8Array | Promise<Uint8Array>;
}
