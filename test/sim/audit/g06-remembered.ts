/** G6: what a source gives the engine to remember it gets back at its next connect, as new as what the log holds of it, and nothing of before a new beginning. */
import { decodePosition } from '../source/sim-position.ts';
import type { Coverage } from './coverage.ts';
import type { Findings } from './findings.ts';

interface Note {
  readonly number: number;
  /** Everything up to this place had been pushed. */
  readonly place: number;
}

export class RememberedAuditor {
  readonly #source: string;
  readonly #findings: Findings;
  readonly #coverage: Coverage;
  /** What may have become durable, oldest first. */
  #notes: Note[] = [];
  #last = 0;

  constructor(source: string, findings: Findings, coverage: Coverage) {
    this.#source = source;
    this.#findings = findings;
    this.#coverage = coverage;
  }

  /** The bytes to be remembered by a stream that has pushed everything up to `place`. */
  note(place: number): Uint8Array {
    this.#last += 1;
    this.#notes.push({ number: this.#last, place });
    return Buffer.from(`${this.#last}`);
  }

  /** A connection begins with what the log says. What was remembered later is lost from now on. */
  connects(resume: { readonly position: Uint8Array; readonly state: Uint8Array | null } | null): void {
    if (resume === null) {
      this.#notes = [];
      return;
    }
    const place = decodePosition(resume.position);
    const said = resume.state === null ? null : Number(Buffer.from(resume.state).toString());
    const at = said === null ? -1 : this.#notes.findIndex(({ number }) => number === said);
    const findings = this.#findings;
    findings.expect('G6', said === null || at !== -1, () => `${this.#source} is told that it remembered ${said}, and it did not since it began`);
    const note = this.#notes[at];
    const next = this.#notes[at + 1];
    findings.expect('G6', note === undefined || note.place <= place, () => `${this.#source} remembered ${said} at ${note?.place}, and the log goes on at ${place}`);
    findings.expect('G6', next === undefined || next.place >= place, () => `${this.#source} remembered ${next?.number} at ${next?.place}, and is told ${said} by a log that goes on at ${place}`);
    if (note !== undefined) this.#coverage.saw('a source got back what it remembered');
    if (next !== undefined) this.#coverage.saw('what a source remembered was lost with what it had pushed');
    this.#notes = this.#notes.slice(0, at + 1);
  }
}
