/** What the auditors find wrong. The first finding ends the run. */

/** `G1` to `G16` as `guarantees.md` numbers them; `live` for liveness, `stop` for an end that no fault explains, `seam` for a broken interface. */
export type PromiseName = `G${number}` | 'live' | 'stop' | 'seam';

export interface Finding {
  readonly promise: PromiseName;
  readonly message: string;
}

export class Findings {
  readonly #list: Finding[] = [];
  readonly #note: (text: string) => void;

  constructor(note: (text: string) => void) {
    this.#note = note;
  }

  get list(): readonly Finding[] {
    return this.#list;
  }

  get any(): boolean {
    return this.#list.length > 0;
  }

  add(promise: PromiseName, message: string): void {
    this.#note(`FINDING ${promise}: ${message}`);
    this.#list.push({ promise, message });
  }

  /** Adds a finding unless the condition holds; the message is made only then. */
  expect(promise: PromiseName, condition: boolean, message: () => string): void {
    if (!condition) this.add(promise, message());
  }
}
