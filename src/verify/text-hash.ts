/**
 * A 64-bit hash of a text, as two halves: it stands for a document id, or for a whole document, where every one of an index has to be remembered.
 * Which texts collide depends on the salt, so that what one run overlooks (one in 2^64 for each pair) the next one sees.
 */

export class TextHash {
  readonly #salt: number;
  /** Halves of the last hash, as unsigned 32-bit numbers. */
  high = 0;
  low = 0;

  /** `salt`: any 32 bits. */
  constructor(salt: number) {
    this.#salt = salt | 0;
  }

  of(text: string): void {
    let a = 0x9747_b28c ^ this.#salt;
    let b = Math.imul(this.#salt, 0x2c1b_3c6d) ^ 0x3c6e_f372;
    for (let i = 0; i < text.length; i += 1) {
      const unit = text.charCodeAt(i);
      a = Math.imul(a ^ unit, 0x0100_0193) ^ (a >>> 15);
      b = Math.imul(b ^ unit, 0x85eb_ca77);
      b = (b << 13) | (b >>> 19);
    }
    a ^= text.length;
    this.high = mixed(a ^ Math.imul(b, 0x27d4_eb2f)) >>> 0;
    this.low = mixed(b ^ Math.imul(a, 0x1656_67b1)) >>> 0;
  }
}

/** Every bit of the result depends on every bit of the number. */
export function mixed(number: number): number {
  let bits = number ^ (number >>> 16);
  bits = Math.imul(bits, 0x7feb_352d);
  bits ^= bits >>> 15;
  bits = Math.imul(bits, 0x846c_a68b);
  return bits ^ (bits >>> 16);
}
