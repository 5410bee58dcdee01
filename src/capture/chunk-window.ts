/**
 * What changes while a chunk of a snapshot is read. A window opens before the read and closes when the stream has passed everything the
 * read could show; a row whose key was noted in between is left out of the chunk, because the stream has it newer.
 */
import { invariant } from '../errors/invariant.ts';

/** Most keys one window notes. A chunk whose window overflows is read again, when the stream has come closer to the source's head. */
export const WINDOW_KEYS_MAX = 200_000;

export class ChunkWindow {
  readonly table: string;
  #noted: Set<string> | null = new Set();
  #completed: Set<string> | null = new Set();
  #high: Uint8Array | null = null;
  #onReached: (() => void) | null = null;

  constructor(table: string) {
    this.table = table;
  }

  /** Position that the stream must reach before the chunk counts; null while the chunk is being read. */
  get high(): Uint8Array | null {
    return this.#high;
  }

  /** True when so much changed that the chunk cannot be used. */
  get overflowed(): boolean {
    return this.#noted === null;
  }

  /** True while no key was noted: then nothing has to be asked for. */
  get untouched(): boolean {
    return this.#noted?.size === 0;
  }

  /** Everything that was noted, as `windowKey` writes it; of a window that did not overflow. */
  get keys(): ReadonlySet<string> {
    invariant(this.#noted !== null, 'a window that overflowed has no keys');
    return this.#noted;
  }

  /**
   * Keys whose rows, pushed at any time before, were completed while the window was there, from its beginning until it is closed; null when there were
   * too many. The log tells of them what came later than it should, and the chunk may show them as they were. They are no reason to leave a row out of
   * a snapshot: whoever begins to read the log behind the change has nothing but that row.
   */
  get completed(): ReadonlySet<string> | null {
    return this.#completed;
  }

  noteCompleted(key: string): void {
    if (this.#completed === null) return;
    this.#completed.add(key);
    if (this.#completed.size > WINDOW_KEYS_MAX) this.#completed = null;
  }

  note(key: string): void {
    if (this.#noted === null) return;
    this.#noted.add(key);
    if (this.#noted.size > WINDOW_KEYS_MAX) this.#noted = null;
  }

  /** The whole table was emptied: nothing that the chunk shows may be used. */
  spoil(): void {
    this.#noted = null;
  }

  changed(key: string): boolean {
    return this.#noted === null || this.#noted.has(key);
  }

  /** For `ChunkWindows.awaitHigh`. */
  await(high: Uint8Array, onReached: () => void): void {
    this.#high = high;
    this.#onReached = onReached;
  }

  reached(): void {
    this.#onReached?.();
  }
}

/** The windows that are open on one source's stream. */
export class ChunkWindows {
  readonly #compare: (a: Uint8Array, b: Uint8Array) => number;
  readonly #windows = new Set<ChunkWindow>();
  /** Those that the stream has passed, whose chunks have yet to be put in their place. */
  readonly #passedBy = new Set<ChunkWindow>();
  #passed: Uint8Array;

  /** `passed`: where the stream begins. */
  constructor(compare: (a: Uint8Array, b: Uint8Array) => number, passed: Uint8Array) {
    this.#compare = compare;
    this.#passed = passed;
  }

  get none(): boolean {
    return this.#windows.size === 0;
  }

  open(table: string): ChunkWindow {
    const window = new ChunkWindow(table);
    this.#windows.add(window);
    return window;
  }

  close(window: ChunkWindow): void {
    this.#windows.delete(window);
    this.#passedBy.delete(window);
  }

  note(table: string, key: Uint8Array, keyLength: number): void {
    let text: string | null = null;
    for (const window of this.#windows) {
      if (window.table !== table) continue;
      text ??= windowKey(key.subarray(0, keyLength));
      window.note(text);
    }
  }

  /** A row that the stream had pushed in part is whole now, as it is at this moment. */
  noteCompleted(table: string, key: Uint8Array): void {
    for (const windows of [this.#windows, this.#passedBy]) for (const window of windows) if (window.table === table) window.noteCompleted(windowKey(key));
  }

  spoil(table: string): void {
    for (const window of this.#windows) if (window.table === table) window.spoil();
  }

  /**
   * The window's chunk is read. `onReached` is called when the stream has pushed everything that was committed before `high`: at once if it
   * has by now, else synchronously from within the stream, so that nothing can come in between.
   */
  awaitHigh(window: ChunkWindow, high: Uint8Array, onReached: () => void): void {
    window.await(high, onReached);
    this.streamPassed(this.#passed);
  }

  /** The stream has pushed everything up to `position`, what was committed there included. */
  streamPassed(position: Uint8Array): void {
    this.#passed = position;
    this.#reach((high) => this.#compare(high, position) <= 0);
  }

  /** The stream has pushed everything that was committed before `position`, and comes to what was committed there: a chunk may show that already. */
  streamComesTo(position: Uint8Array): void {
    this.#reach((high) => this.#compare(high, position) < 0);
  }

  #reach(isPassed: (high: Uint8Array) => boolean): void {
    for (const window of this.#windows) {
      if (window.high === null || !isPassed(window.high)) continue;
      this.#windows.delete(window);
      this.#passedBy.add(window);
      window.reached();
    }
  }
}

/** A key as the windows note it. */
export function windowKey(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

