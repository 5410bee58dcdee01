/**
 * Positions of a simulated source: the place in the database's history, least significant byte first.
 * Their bytes do not sort as the positions do: only the source may compare them.
 */
import { invariant } from '../../../src/errors/invariant.ts';

const BYTES = 8;

export function encodePosition(place: number): Buffer {
  const bytes = Buffer.alloc(BYTES);
  bytes.writeUIntLE(place, 0, 6);
  return bytes;
}

export function decodePosition(bytes: Uint8Array): number {
  invariant(bytes.length === BYTES, 'a position of the simulated source has 8 bytes');
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).readUIntLE(0, 6);
}

export function comparePositions(a: Uint8Array, b: Uint8Array): number {
  return decodePosition(a) - decodePosition(b);
}
