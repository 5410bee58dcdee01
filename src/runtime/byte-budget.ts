/**
 * A limit on bytes that are held in memory. Taking never fails and never waits, because what has been read from a socket is already
 * there; the owner of the socket stops reading while the budget is `exhausted` and goes on when `available` resolves.
 */
import { invariant } from '../errors/invariant.ts';

export class ByteBudget {
  readonly limitBytes: number;
  #taken = 0;
  #waiters: (() => void)[] = [];

  constructor(limitBytes: number) {
    invariant(limitBytes > 0, 'a byte budget has a limit');
    this.limitBytes = limitBytes;
  }

  get takenBytes(): number {
    return this.#taken;
  }

  get exhausted(): boolean {
    return this.#taken >= this.limitBytes;
  }

  take(bytes: number): void {
    this.#taken += bytes;
  }

  give(bytes: number): void {
    this.#taken -= bytes;
    invariant(this.#taken >= 0, 'a byte budget is never given more than was taken');
    if (this.exhausted || this.#waiters.length === 0) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  /** Resolves as soon as the budget is not exhausted. */
  async available(): Promise<void> {
    while (this.exhausted) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }
}
