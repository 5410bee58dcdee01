/** One file of the simulated disk: what programs see of it, what is on the platter, and which sectors differ. The model is told in sim-disk.ts. */
import type { Random } from '../../src/runtime/random.ts';

export const SECTOR_BYTES = 512;

export class Inode {
  #cache: Buffer = Buffer.alloc(0);
  #length = 0;
  #platter: Buffer = Buffer.alloc(0);
  #platterLength = 0;
  /** Sectors that the next sync brings to the platter. */
  readonly #changed = new Set<number>();
  /** Sectors that a failed sync left behind: they differ from the platter and count as written. */
  readonly #unwritable = new Set<number>();

  get length(): number {
    return this.#length;
  }

  view(): Buffer {
    return this.#cache.subarray(0, this.#length);
  }

  read(into: Uint8Array, position: number): number {
    const bytes = this.#cache.subarray(Math.min(position, this.#length), Math.min(position + into.length, this.#length));
    into.set(bytes);
    return bytes.length;
  }

  write(bytes: Uint8Array, position: number): void {
    if (bytes.length === 0) return;
    const end = position + bytes.length;
    this.#cache = grown(this.#cache, end);
    if (position > this.#length) this.#touch(this.#length, position);
    this.#cache.set(bytes, position);
    this.#touch(position, end);
    this.#length = Math.max(this.#length, end);
  }

  truncate(length: number): void {
    this.#cache = grown(this.#cache, length);
    if (length < this.#length) this.#cache.fill(0, length, this.#length);
    this.#touch(Math.min(length, this.#length), Math.max(length, this.#length));
    this.#length = length;
  }

  flip(bit: number): void {
    const at = Math.floor(bit / 8);
    for (const bytes of [this.#cache, this.#platter]) bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit % 8));
  }

  sync(): void {
    this.#reach(this.#changed);
    this.#changed.clear();
    this.#settleLength(this.#length);
  }

  failSync(random: Pick<Random, 'fraction'>, share: number): void {
    for (const sector of this.#changed) {
      if (random.fraction() < share) this.#reach([sector]);
      else this.#unwritable.add(sector);
    }
    this.#changed.clear();
    // Lengths are in the file system's journal: they get there, sooner or later.
    this.#settleLength(this.#length);
  }

  /** Some changed sectors reach the platter before anybody asked; they stay changed. */
  writeBack(random: Pick<Random, 'fraction'>, share: number): void {
    this.#reach([...this.#changed].filter(() => random.fraction() < share));
    if (random.fraction() < share) this.#settleLength(this.#length);
  }

  /** What counts as written but never was falls out of the cache. */
  dropUnwritable(): void {
    for (const sector of this.#unwritable) this.#copySector(this.#platter, this.#cache, sector);
    this.#unwritable.clear();
  }

  losePower(random: Pick<Random, 'fraction'>, share: number): void {
    const before = this.#platterLength;
    const length = random.fraction() < 0.5 ? Math.round(before + (this.#length - before) * random.fraction()) : random.fraction() < share ? this.#length : before;
    this.#reach([...this.#changed].filter(() => random.fraction() < share));
    if (random.fraction() < 0.5) this.#spoil(random, before, length);
    this.#settleLength(length);
    this.#platter.fill(0, length);
    this.#changed.clear();
    this.#unwritable.clear();
    this.#cache = Buffer.from(this.#platter);
    this.#length = length;
  }

  /** Garbage in the sectors that the file grew by and that never reached the platter. */
  #spoil(random: Pick<Random, 'fraction'>, from: number, to: number): void {
    this.#platter = grown(this.#platter, to);
    for (let at = Math.ceil(from / SECTOR_BYTES) * SECTOR_BYTES; at < to; at += SECTOR_BYTES) {
      const sector = this.#platter.subarray(at, at + SECTOR_BYTES);
      if (sector.every((byte) => byte === 0)) for (let i = 0; i < sector.length; i += 1) sector[i] = Math.floor(random.fraction() * 256);
    }
  }

  #settleLength(length: number): void {
    this.#platter = grown(this.#platter, length);
    if (length < this.#platterLength) this.#platter.fill(0, length);
    this.#platterLength = length;
  }

  #touch(from: number, to: number): void {
    for (let sector = Math.floor(from / SECTOR_BYTES); sector * SECTOR_BYTES < to; sector += 1) {
      this.#changed.add(sector);
      this.#unwritable.delete(sector);
    }
  }

  #reach(sectors: Iterable<number>): void {
    for (const sector of sectors) this.#copySector(this.#cache, this.#platter, sector);
  }

  #copySector(from: Buffer, to: Buffer, sector: number): void {
    const at = sector * SECTOR_BYTES;
    const end = at + SECTOR_BYTES;
    if (to === this.#platter) to = this.#platter = grown(this.#platter, end);
    else to = this.#cache = grown(this.#cache, end);
    to.fill(0, at, end);
    if (at < from.length) from.copy(to, at, at, Math.min(end, from.length));
  }
}

/** The buffer itself when it is long enough, otherwise a longer one with zeros at the end. */
function grown(buffer: Buffer, length: number): Buffer {
  if (length <= buffer.length) return buffer;
  const longer = Buffer.alloc(Math.max(length, buffer.length * 2, 4 * SECTOR_BYTES));
  buffer.copy(longer);
  return longer;
}
