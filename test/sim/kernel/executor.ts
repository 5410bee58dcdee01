/**
 * Decides what happens next. Everything in a run that does not happen at once is an event here: timers, answers of disks and networks, faults.
 * Events run one at a time in the order of virtual time, ties broken by the seed; after each, promises run until none has work left.
 */
import { setImmediate } from 'node:timers/promises';
import type { SimRandom } from './sim-random.ts';
import type { Trace } from './trace.ts';

interface Event {
  readonly atMs: number;
  readonly tie: number;
  readonly label: string;
  task: (() => void) | null;
}

export class Executor {
  readonly trace: Trace;
  readonly #random: SimRandom;
  readonly #heap: Event[] = [];
  readonly #afterEach: (() => void)[] = [];
  #nowMs = 0;
  #steps = 0;

  constructor(random: SimRandom, trace: Trace) {
    this.#random = random;
    this.trace = trace;
  }

  /** Virtual milliseconds since the run began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events that have run. */
  get steps(): number {
    return this.#steps;
  }

  /** Puts a line into the trace. */
  note(text: string): void {
    this.trace.note(this.#nowMs, text);
  }

  /** Runs `task` after `delayMs`; the returned function takes it back. */
  after(delayMs: number, label: string, task: () => void): () => void {
    const event: Event = { atMs: this.#nowMs + Math.max(0, delayMs), tie: this.#random.fraction(), label, task };
    this.#push(event);
    return () => {
      event.task = null;
    };
  }

  /** `look` is called after every event, when no promise has work left. */
  afterEach(look: () => void): void {
    this.#afterEach.push(look);
  }

  /** Runs events until `done` or until virtual time reaches `untilMs`; true when `done`. */
  async run(done: () => boolean, untilMs: number): Promise<boolean> {
    await setImmediate();
    while (!done()) {
      const event = this.#heap[0];
      if (event === undefined || event.atMs > untilMs) {
        this.#nowMs = Math.max(this.#nowMs, untilMs);
        return false;
      }
      this.#pop();
      if (event.task === null) continue;
      this.#nowMs = event.atMs;
      this.#steps += 1;
      this.trace.note(event.atMs, event.label);
      event.task();
      // The engine's own promises settle within the present turn of the real event loop; the next one begins when none has work left.
      await setImmediate();
      for (const look of this.#afterEach) look();
    }
    return true;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent] as Event)) break;
      heap[at] = heap[parent] as Event;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Event;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child += 1;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.tie < b.tie);
}
