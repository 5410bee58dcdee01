/** Chance: jitter and identifiers. */

export interface Random {
  /** Uniform in [0, 1). */
  fraction(): number;
  /** `length` random bytes as lower-case hex. */
  hex(length: number): string;
}
