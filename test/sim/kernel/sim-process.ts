/**
 * A process that can die at any moment. Whatever it does outside of its own memory goes through here; once it is dead nothing of that
 * has an effect or is ever answered, which is all that the world can see of a death. Its memory is simply not used any more.
 */
import type { Executor } from './executor.ts';

export class SimProcess {
  readonly name: string;
  readonly executor: Executor;
  readonly #onDeath: ((reason: string) => void)[] = [];
  #alive = true;
  /** Seams that may still be passed before the process dies; Infinity when nothing is planned. */
  #seamsLeft = Infinity;

  constructor(name: string, executor: Executor) {
    this.name = name;
    this.executor = executor;
  }

  get alive(): boolean {
    return this.#alive;
  }

  onDeath(listener: (reason: string) => void): void {
    this.#onDeath.push(listener);
  }

  kill(reason: string): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.executor.note(`${this.name} dies: ${reason}`);
    for (const listener of this.#onDeath) listener(reason);
  }

  /** The process dies when it has passed this many more seams: between two lines of code that no event lies between, too. */
  dieAfterSeams(count: number): void {
    this.#seamsLeft = count;
  }

  /** To be called at every seam, before and after its effect. False when the process is dead: the seam then has no effect. */
  seam(label: string): boolean {
    if (this.#alive && this.#seamsLeft !== Infinity) {
      this.#seamsLeft -= 1;
      if (this.#seamsLeft <= 0) this.kill(`at ${label}`);
    }
    return this.#alive;
  }

  /** Runs `task` after `ms` if the process is still alive then. */
  after(ms: number, label: string, task: () => void): () => void {
    if (!this.#alive) return () => {};
    return this.executor.after(ms, `${this.name} ${label}`, () => {
      if (this.#alive) task();
    });
  }

  /** Asks something outside: `effect` happens after `thereMs`, its outcome is known here `backMs` later. Never settles when the process dies. */
  async call<T>(label: string, thereMs: number, backMs: number, effect: () => T | Promise<T>): Promise<T> {
    if (!this.seam(`${label} asked`)) return never();
    const there = Promise.withResolvers<void>();
    this.after(thereMs, label, there.resolve);
    await there.promise;
    if (!this.seam(`${label} begun`)) return never();
    let outcome: () => T;
    try {
      const value = await effect();
      outcome = () => value;
    } catch (error) {
      outcome = () => {
        throw error;
      };
    }
    if (!this.seam(`${label} done`)) return never();
    const back = Promise.withResolvers<void>();
    this.after(backMs, `${label} answered`, back.resolve);
    await back.promise;
    return outcome();
  }
}

/** What a dead process waits for. */
export async function never<T>(): Promise<T> {
  return new Promise<T>(() => {});
}
