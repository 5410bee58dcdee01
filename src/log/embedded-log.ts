/** The embedded change log: `LogStore` on segment files. */
import type { Seq } from '../change/seq.ts';
import type { FrameDraft, LogCondition, LogReader, LogStats, LogStore } from '../connector/log-store.ts';
import { frameHeaders, type HeaderOrder } from './frame-headers.ts';
import type { LogCore } from './log-core.ts';
import { statsOf } from './log-core.ts';
import type { LogWriter } from './log-writer.ts';
import { SegmentReader } from './reader.ts';
import type { Retention } from './retention.ts';
import type { FrameHeader } from './stored-frame.ts';

export class EmbeddedLog implements LogStore {
  readonly #core: LogCore;
  readonly #writer: LogWriter;
  readonly #retention: Retention;

  constructor(core: LogCore, writer: LogWriter, retention: Retention) {
    this.#core = core;
    this.#writer = writer;
    this.#retention = retention;
  }

  get logId(): string {
    return this.#core.identity.logId;
  }

  get epoch(): number {
    return this.#core.identity.epoch;
  }

  get firstSeq(): Seq {
    return this.#core.segments.first.firstSeq;
  }

  get durableSeq(): Seq {
    return this.#core.durableSeq;
  }

  /** Live: it changes with every durable append. */
  get registers(): ReadonlyMap<string, Uint8Array> {
    return this.#core.registers;
  }

  get condition(): LogCondition {
    return this.#core.condition;
  }

  append(draft: FrameDraft, signal: AbortSignal): Promise<{ readonly firstSeq: Seq; readonly lastSeq: Seq }> {
    return this.#writer.append(draft, signal);
  }

  reader(after: Seq): LogReader {
    return new SegmentReader(this.#core, after);
  }

  /** What frames say of themselves, without their entries: to look for transactions, say. */
  frameHeaders(order: HeaderOrder): AsyncGenerator<FrameHeader, void, void> {
    return frameHeaders(this.#core, order);
  }

  hold(name: string, seq: Seq): void {
    this.#retention.hold(name, seq);
  }

  release(name: string): void {
    this.#retention.release(name);
  }

  onEvicted(listener: (name: string) => void): () => void {
    return this.#retention.onEvicted(listener);
  }

  stats(): LogStats {
    return statsOf(this.#core, this.#core.condition, this.#retention.holds);
  }

  /** Waits for the write that is in flight. Appends that had not begun, and readers that wait, are told that the log was closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#writer.close();
    } finally {
      await this.#retention.stop();
      this.#core.close();
    }
  }
}
