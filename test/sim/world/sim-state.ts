/**
 * Stands in for `src/state/sqlite-state.ts`: what a call has stored when it returns is there after any crash, and a crash may come just before
 * or just after it.
 */
import type { Seq } from '../../../src/change/seq.ts';
import type { DeadLetter, DeadLetterFilter, DeadLetterPlace, DeadLetterRequest, GenerationRecord, JobRecord, LastBegun, StateStore } from '../../../src/state/state-store.ts';
import type { SimProcess } from '../kernel/sim-process.ts';
import { present, type StateListener } from './sim-machine.ts';
import type { StateFile } from './state-file.ts';

export function openSqliteState({ path }: { readonly path: string }): StateStore {
  const { machine, process } = present();
  return new SimState(machine.state(path), process, machine.stateListener);
}

export class SimState implements StateStore {
  readonly #file: StateFile;
  readonly #process: SimProcess;
  readonly #listener: StateListener;

  constructor(file: StateFile, process: SimProcess, listener: StateListener) {
    this.#file = file;
    this.#process = process;
    this.#listener = listener;
  }

  get logId(): string | null {
    return this.#file.logId;
  }

  bindLog(logId: string): void {
    this.#store('bind', () => (this.#file.logId = logId));
  }

  generations(): GenerationRecord[] {
    return [...this.#file.generations.values()].toSorted((a, b) => (a.index === b.index ? a.generation - b.generation : a.index < b.index ? -1 : 1));
  }

  putGenerations(...records: readonly GenerationRecord[]): void {
    this.#store('generation', () => {
      for (const record of records) {
        const { index, generation, fingerprint } = record;
        this.#file.generations.set(nameOf(index, generation), record);
        const last = this.#file.lastBegun.get(index);
        if (last === undefined || generation > last.generation) this.#file.lastBegun.set(index, { generation, fingerprint });
      }
      this.#listener.generationsStored(records);
    });
  }

  lastBegun(index: string): LastBegun | null {
    return this.#file.lastBegun.get(index) ?? null;
  }

  forgetGeneration(index: string, generation: number): void {
    const name = nameOf(index, generation);
    this.#store('forget', () => {
      for (const letter of this.#file.letters.keys()) if (letter.startsWith(`${name} `)) this.#file.letters.delete(letter);
      this.#file.cursors.delete(name);
      this.#file.generations.delete(name);
    });
  }

  cursor(index: string, generation: number): Seq | null {
    return this.#file.cursors.get(nameOf(index, generation)) ?? null;
  }

  putCursor(index: string, generation: number, seq: Seq | null): void {
    this.#store('cursor', () => {
      if (seq === null) {
        this.#file.cursors.delete(nameOf(index, generation));
        return;
      }
      this.#listener.cursorStored(index, generation, seq);
      this.#file.cursors.set(nameOf(index, generation), seq);
    });
  }

  park(letters: readonly DeadLetter[]): void {
    this.#store('park', () => {
      for (const letter of letters) {
        const name = `${nameOf(letter.index, letter.generation)} ${letter.id}`;
        const before = this.#file.letters.get(name);
        if (before === undefined || letter.seq >= before.seq) this.#file.letters.set(name, letter);
      }
    });
  }

  unpark(index: string, generation: number, ids: readonly string[], seq: Seq): void {
    this.#store('unpark', () => {
      for (const id of ids) {
        const name = `${nameOf(index, generation)} ${id}`;
        const letter = this.#file.letters.get(name);
        if (letter !== undefined && letter.seq <= seq) this.#file.letters.delete(name);
      }
    });
  }

  someDeadLetters({ after, limit, ...filter }: DeadLetterRequest): DeadLetter[] {
    const all = this.#lettersLike(filter).toSorted(inOrder);
    return (after === undefined ? all : all.filter((letter) => inOrder(letter, after) > 0)).slice(0, limit);
  }

  deadLetterTotal(filter: DeadLetterFilter): number {
    return this.#lettersLike(filter).length;
  }

  #lettersLike({ index, id, code }: DeadLetterFilter): DeadLetter[] {
    return this.deadLetters(index).filter((letter) => (id === undefined || letter.id === id) && (code === undefined || letter.code === code));
  }

  deadLetters(index?: string): DeadLetter[] {
    const letters = [...this.#file.letters.values()].filter((letter) => index === undefined || letter.index === index);
    return letters.toSorted((a, b) => (a.index !== b.index ? (a.index < b.index ? -1 : 1) : a.generation - b.generation || a.seq - b.seq));
  }

  deadLetterCount(index: string, generation: number): number {
    return this.deadLetters(index).filter((letter) => letter.generation === generation).length;
  }

  jobs(): JobRecord[] {
    return [...this.#file.jobs.values()].toSorted((a, b) => a.id - b.id);
  }

  addJob(job: Omit<JobRecord, 'id'>): JobRecord {
    const added = { ...job, id: this.#file.jobs.size + 1 };
    this.putJob(added);
    return added;
  }

  putJob(job: JobRecord): void {
    this.#store('job', () => this.#file.jobs.set(job.id, job));
  }

  [Symbol.dispose](): void {}

  #store(what: string, effect: () => void): void {
    if (!this.#process.seam(`before state ${what}`)) return;
    effect();
    this.#process.seam(`after state ${what}`);
  }
}

function nameOf(index: string, generation: number): string {
  return `${index} ${generation}`;
}

function inOrder(a: DeadLetterPlace, b: DeadLetterPlace): number {
  if (a.index !== b.index) return a.index < b.index ? -1 : 1;
  return a.generation - b.generation || a.seq - b.seq;
}
