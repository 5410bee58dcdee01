/**
 * A row's identity as bytes: canonical, injective, stable.
 *
 * Encoding: the key's parts in key order; each part is a big-endian uint32 of (byte length + 1) followed by its bytes;
 * a null part is a lone zero. Two keys are equal exactly when their bytes are equal, whatever bytes the parts hold.
 */

/** The longest key, in bytes, that tailrace accepts; a longer one is replaced by its digest where the source encodes it. */
export const KEY_BYTES_MAX = 32 * 1024;

type KeyPart = Uint8Array | null;

/** The parts of an encoded key, as views into it. Throws RangeError when the bytes are no key. */
export function decodeKey(key: Uint8Array): KeyPart[] {
  const view = Buffer.from(key.buffer, key.byteOffset, key.byteLength);
  const parts: KeyPart[] = [];
  let at = 0;
  while (at < view.length) {
    if (at + 4 > view.length) throw new RangeError('key ends inside a length');
    const lengthPlusOne = view.readUInt32BE(at);
    at += 4;
    if (lengthPlusOne === 0) {
      parts.push(null);
      continue;
    }
    const end = at + lengthPlusOne - 1;
    if (end > view.length) throw new RangeError('key ends inside a part');
    parts.push(view.subarray(at, end));
    at = end;
  }
  return parts;
}

/**
 * A document id made from a key: readable for the usual single-column key, injective for every key of one table.
 * Parts are UTF-8 text joined by `:`; inside a part `%` becomes `%25` and `:` becomes `%3A`. A part that is not UTF-8 is
 * written as `%XX` throughout, an empty part as `%E`, a null part as `%N`: none of the three can come from other text.
 */
export function documentIdOf(key: Uint8Array): string {
  const parts = decodeKey(key);
  let id = '';
  for (let i = 0; i < parts.length; i += 1) {
    if (i > 0) id += ':';
    const part = parts[i];
    id += part === null || part === undefined ? '%N' : escapePart(part);
  }
  return id;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const needsEscape = /[%:]/;

function escapePart(part: Uint8Array): string {
  if (part.length === 0) return '%E';
  let text: string;
  try {
    text = strictUtf8.decode(part);
  } catch {
    return Array.from(part, (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
  }
  if (!needsEscape.test(text)) return text;
  return text.replaceAll('%', '%25').replaceAll(':', '%3A');
}

/**
 * The key that `documentIdOf` makes this id of; null for a text that is no id of any key. A row's key that was too long, or is all of the row, is
 * in its id as the digest that it was replaced by, so that the digest comes back.
 */
export function keyOfDocumentId(id: string): Buffer | null {
  const parts = id.split(':').map(partOf);
  if (parts.includes(undefined)) return null;
  const key = keyOfParts(parts.map((part) => part ?? null));
  // The one spelling that a key has: `%41` is none, because that part is written as `A`.
  return documentIdOf(key) === id ? key : null;
}

/** The key that has these parts. */
export function keyOfParts(parts: readonly KeyPart[]): Buffer {
  return Buffer.concat(parts.flatMap((part) => (part === null ? [nullPart] : [lengthOf(part), part])));
}

const nullPart = Buffer.alloc(4);
const escapes = /%([0-9A-F]{2})/g;

function lengthOf(part: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(part.length + 1);
  return length;
}

/** Undefined for what is no part of an id. */
function partOf(text: string): Buffer | null | undefined {
  if (text === '%N') return null;
  if (text === '%E') return Buffer.alloc(0);
  const bytes: Buffer[] = [];
  let at = 0;
  for (const { 0: escape, 1: hex = '', index } of text.matchAll(escapes)) {
    bytes.push(Buffer.from(text.slice(at, index)), Buffer.from(hex, 'hex'));
    at = index + escape.length;
  }
  bytes.push(Buffer.from(text.slice(at)));
  return text === '' ? undefined : Buffer.concat(bytes);
}
