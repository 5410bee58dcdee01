/**
 * The production log with the auditors looking on: they see each frame become durable, each frame that is read back, and, when the log is
 * opened after a crash, what is left of it.
 */
import type { Frame, FrameDraft, FrameHeader, LogCondition, LogReader, LogStats, LogStore } from '../../../src/connector/log-store.ts';
import { FrameKind } from '../../../src/connector/log-store.ts';
import type { SimProcess } from '../kernel/sim-process.ts';
import { never } from '../kernel/sim-process.ts';
import type { Coverage } from './coverage.ts';
import type { Findings } from './findings.ts';
import type { LogBook, ObservedFrame } from './log-book.ts';

/** More looks at the log than this without anything else happening in between: the engine turns round and round. */
const POLLS_PER_STEP_MAX = 5_000;

export interface LogAuditors {
  readonly book: LogBook;
  readonly findings: Findings;
  readonly coverage: Coverage;
  /** A frame became durable. */
  readonly observe: (frame: ObservedFrame) => void;
  /** A frame is on its way to the disk. */
  readonly appending: (frame: FrameDraft) => void;
  /** The book has everything that earlier lives made durable. */
  readonly recovered: () => void;
  /** Whether all that the log still holds is compared when it is opened. */
  readonly verifiesAll: boolean;
}

/** Frames without changes that became durable behind the book's last seq, by what they say: they have no number of their own. */
export interface TailFrames {
  frames: string[];
}

export class AuditedLog implements LogStore {
  readonly #log: LogStore;
  readonly #process: SimProcess;
  readonly #auditors: LogAuditors;
  readonly #tail: TailFrames;
  readonly #read: Frame[] = [];
  #readers = 0;
  #pollsAtStep = { step: -1, polls: 0 };

  constructor(log: LogStore, process: SimProcess, auditors: LogAuditors, tail: TailFrames) {
    this.#log = log;
    this.#process = process;
    this.#auditors = auditors;
    this.#tail = tail;
  }

  /** Brings the book up to what the log holds, and holds the log to the book. */
  async recover(): Promise<void> {
    const { book, findings, coverage, verifiesAll } = this.#auditors;
    const log = this.#log;
    findings.expect('G1', log.durableSeq >= book.lastSeq, () => `the log holds changes up to seq ${log.durableSeq} only; up to ${book.lastSeq} they were durable`);
    findings.expect('G1', log.firstSeq <= book.lastSeq + 1, () => `the log begins with seq ${log.firstSeq}, and the last that was ever durable is ${book.lastSeq}`);
    if (findings.any) return;
    await using reader = log.reader(verifiesAll ? log.firstSeq - 1 : book.lastSeq);
    // Some of them retention may have removed since.
    let known = this.#tail.frames;
    for (;;) {
      const frame = await reader.poll();
      if (frame === undefined) break;
      // A frame that stands for removed ones has all registers, and no source.
      if (frame.kind === FrameKind.control && frame.source === '') continue;
      if (frame.lastSeq <= book.lastSeq && frame.firstSeq <= book.lastSeq) book.checkRead(frame.firstSeq, frame.count, frame.entries);
      else if (frame.count === 0 && frame.firstSeq === book.lastSeq + 1 && known.includes(wordsOf(frame))) known = known.slice(known.indexOf(wordsOf(frame)) + 1);
      else {
        coverage.saw('a frame that was durable, but not known to be, when the process died');
        this.#observe(frame, frame.firstSeq, frame.lastSeq);
        known = [];
      }
    }
    for (const [name, value] of log.registers) {
      const folded = book.registers.get(name);
      findings.expect('G1', folded !== undefined && Buffer.compare(folded, value) === 0, () => `the register ${name} is not what the frames say`);
    }
    this.#auditors.recovered();
    findings.expect('G1', log.registers.size === book.registers.size, () => `there are ${log.registers.size} registers, and ${book.registers.size} by what the frames say`);
  }

  /** To be called after every event: by then everything that became durable is in the book. */
  settle(): void {
    const { book, findings } = this.#auditors;
    for (const frame of this.#read.splice(0)) {
      if (frame.lastSeq > book.lastSeq) findings.add('G1', `seq ${frame.lastSeq} was read before it was durable`);
      else book.checkRead(frame.firstSeq, frame.count, frame.entries);
    }
  }

  get logId(): string {
    return this.#log.logId;
  }

  get epoch(): number {
    return this.#log.epoch;
  }

  get firstSeq(): number {
    return this.#log.firstSeq;
  }

  get durableSeq(): number {
    return this.#log.durableSeq;
  }

  get registers(): ReadonlyMap<string, Uint8Array> {
    return this.#log.registers;
  }

  get condition(): LogCondition {
    return this.#log.condition;
  }

  async append(draft: FrameDraft, signal: AbortSignal): Promise<{ readonly firstSeq: number; readonly lastSeq: number }> {
    this.#auditors.appending(draft);
    const appended = await this.#log.append(draft, signal);
    if (this.#process.alive) this.#observe(draft, appended.firstSeq, appended.lastSeq);
    return appended;
  }

  reader(after: number): LogReader {
    const reader = this.#log.reader(after);
    this.#readers += 1;
    const name = `${this.#process.name} reader ${this.#readers} from ${after}`;
    const seen = <T extends Frame | undefined>(frame: T): T => {
      if (frame === undefined) return frame;
      if (frame.kind === FrameKind.control && frame.source === '') this.#auditors.coverage.saw('a frame stood for removed ones');
      this.#process.executor.note(`${name} gets ${frame.firstSeq} to ${frame.lastSeq}${frame.snapshot === 0 ? '' : ` of snapshot ${frame.snapshot}`}`);
      this.#read.push(frame);
      return frame;
    };
    return {
      next: async (signal) => seen(await reader.next(signal)),
      poll: async () => {
        if (this.#isTurning()) return never();
        return seen(await reader.poll());
      },
      [Symbol.asyncDispose]: async () => reader[Symbol.asyncDispose](),
    };
  }

  frameHeaders(order: 'oldest_segment_first' | 'newest_segment_first'): AsyncIterable<FrameHeader> {
    return this.#log.frameHeaders(order);
  }

  hold(name: string, seq: number): void {
    this.#log.hold(name, seq);
  }

  release(name: string): void {
    this.#log.release(name);
  }

  onEvicted(listener: (name: string) => void): () => void {
    return this.#log.onEvicted(listener);
  }

  stats(): LogStats {
    return this.#log.stats();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#log[Symbol.asyncDispose]();
  }

  #observe(draft: FrameDraft, firstSeq: number, lastSeq: number): void {
    const { book, observe, coverage } = this.#auditors;
    this.#tail.frames = draft.count === 0 ? [...this.#tail.frames, wordsOf(draft)] : [];
    if (draft.kind === FrameKind.snapshot) coverage.saw('a frame of a snapshot');
    observe(book.add(draft, firstSeq, lastSeq));
  }

  #isTurning(): boolean {
    const { steps } = this.#process.executor;
    if (this.#pollsAtStep.step !== steps) this.#pollsAtStep = { step: steps, polls: 0 };
    this.#pollsAtStep.polls += 1;
    if (this.#pollsAtStep.polls < POLLS_PER_STEP_MAX) return false;
    if (this.#pollsAtStep.polls === POLLS_PER_STEP_MAX) this.#auditors.findings.add('live', 'the log is asked for its next frame without end, and nothing else ever gets its turn');
    return true;
  }
}

/** What a frame without changes says. */
function wordsOf({ registers }: Pick<FrameDraft, 'registers'>): string {
  return registers.map(([name, value]) => `${name}=${value === null ? '' : Buffer.from(value).toString()}`).join('\n');
}
