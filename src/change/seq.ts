/**
 * Numbers of the change log: `seq` (a change's place), `epoch` (a numbering's generation) and `version` (what targets compare).
 *
 * A seq is a plain number: it stays below 2^48, which a double holds exactly. A version is a bigint, because
 * `epoch * 2^48 + seq` needs 63 bits.
 */

/** A change's number in the log: gap-free from 1, never reused, below 2^48. 0 means "before the first change". */
export type Seq = number;

export const SEQ_MAX: Seq = 2 ** 48 - 1;
export const EPOCH_MAX = 2 ** 15 - 1;

/** `epoch * 2^48 + seq`, an int63: the number by which every target decides whether a write is newer. */
export function versionOf(epoch: number, seq: Seq): bigint {
  if (!Number.isInteger(epoch) || epoch < 0 || epoch > EPOCH_MAX) throw new RangeError(`epoch ${epoch} is not within 0..${EPOCH_MAX}`);
  if (!Number.isInteger(seq) || seq < 0 || seq > SEQ_MAX) throw new RangeError(`seq ${seq} is not within 0..2^48-1`);
  return (BigInt(epoch) << 48n) | BigInt(seq);
}

export function seqOf(version: bigint): Seq {
  return Number(version & 0xffff_ffff_ffffn);
}
