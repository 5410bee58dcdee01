/** Keys as a source encodes them (see `src/change/key.ts`), from their parts. */
export function encodeKey(parts: readonly (Uint8Array | null)[]): Buffer {
  let size = 0;
  for (const part of parts) size += 4 + (part?.length ?? 0);
  const out = Buffer.allocUnsafe(size);
  let at = 0;
  for (const part of parts) {
    at = out.writeUInt32BE(part === null ? 0 : part.length + 1, at);
    if (part !== null) {
      out.set(part, at);
      at += part.length;
    }
  }
  return out;
}
