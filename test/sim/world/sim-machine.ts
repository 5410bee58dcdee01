/** The machine that processes run on, as far as it outlives them: its disk, the state store's files, who holds which lock, the wall clock. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { CrashKind, SimDisk } from '../sim-disk.ts';
import { invariant } from '../../../src/errors/invariant.ts';
import type { WallClock } from '../kernel/sim-clock.ts';
import type { SimProcess } from '../kernel/sim-process.ts';
import type { GenerationRecord } from '../../../src/state/state-store.ts';
import { StateFile } from './state-file.ts';

/** What auditors are told of the state store. */
export interface StateListener {
  /** A cursor is about to become durable. */
  cursorStored(index: string, generation: number, seq: number): void;
  /** Records of generations have become durable, together. */
  generationsStored(records: readonly GenerationRecord[]): void;
}

export class SimMachine {
  readonly disk: SimDisk;
  readonly wall: WallClock = { offsetMs: 0 };
  stateListener: StateListener = { cursorStored: () => {}, generationsStored: () => {} };
  /** Called before anything of a crash has its effect. */
  onCrash: (kind: CrashKind) => void = () => {};
  readonly #states = new Map<string, StateFile>();
  readonly #locks = new Map<string, SimProcess>();
  readonly #processes = new Set<SimProcess>();
  /** What a death at a seam is: of the process, or of the machine. */
  deathAtSeam: CrashKind = 'process';
  #crashing = false;

  constructor(disk: SimDisk) {
    this.disk = disk;
  }

  /** A process begins here. When it dies, all that it had under way on the disk is cut short, and so are all processes beside it. */
  add(process: SimProcess): void {
    this.#processes.add(process);
    process.onDeath(() => {
      if (!this.#crashing && this.#processes.has(process)) this.crash(this.deathAtSeam, 'the process beside it died');
    });
  }

  /** A process has ended by itself, with nothing under way: the others go on. */
  remove(process: SimProcess): void {
    this.#processes.delete(process);
  }

  /** All processes die; with `power`, so does what the disk had not made durable. */
  crash(kind: CrashKind, reason: string): void {
    this.#crashing = true;
    this.onCrash(kind);
    this.disk.crash(kind);
    for (const process of this.#processes) process.kill(`${reason} (${kind})`);
    this.#processes.clear();
    this.#crashing = false;
  }

  /** Has the state stores of another machine: only the log is a new one. */
  takeStates(other: SimMachine): void {
    for (const [path, file] of other.#states) this.#states.set(path, file);
  }

  state(path: string): StateFile {
    let file = this.#states.get(path);
    if (file === undefined) {
      file = new StateFile();
      this.#states.set(path, file);
    }
    return file;
  }

  /** False when a living process has it. */
  takeLock(path: string, process: SimProcess): boolean {
    if (this.#locks.get(path)?.alive === true) return false;
    this.#locks.set(path, process);
    return true;
  }

  freeLock(path: string, process: SimProcess): void {
    if (this.#locks.get(path) === process) this.#locks.delete(path);
  }
}

/** What runs now: code of the engine that gets no runtime handed in (the lock, the state store) finds its process here. */
export interface Surroundings {
  readonly machine: SimMachine;
  readonly process: SimProcess;
  /** Told when the engine has opened its log; returns the log that the engine gets to see. */
  readonly onLogOpened: <T>(log: T) => Promise<T>;
}

export const surroundings = new AsyncLocalStorage<Surroundings>();

export function present(): Surroundings {
  const here = surroundings.getStore();
  invariant(here !== undefined, 'the engine runs within a simulated process');
  return here;
}
