/** Appends that wait for their turn, in the order of the calls. */
import type { EncodedDraft } from './group.ts';

export interface Appended {
  readonly firstSeq: number;
  readonly lastSeq: number;
}

export interface PendingAppend {
  readonly encoded: EncodedDraft;
  readonly signal: AbortSignal;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (reason: unknown) => void;
}

export class AppendQueue {
  #entries: PendingAppend[] = [];
  #bytes = 0;
  /** One listener per signal, while anything waits that has it: many appends share one signal, and listeners are dear. */
  readonly #listeners = new Map<AbortSignal, () => void>();
  readonly #onDrop: () => void;

  /** `onDrop` is called when aborted appends have left the queue. */
  constructor(onDrop: () => void) {
    this.#onDrop = onDrop;
  }

  get length(): number {
    return this.#entries.length;
  }

  /** Bytes of all frames that wait. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of the frame that is next; 0 when there is none. */
  get nextBytes(): number {
    return this.#entries[0]?.encoded.bytes ?? 0;
  }

  /** Rejects with the signal's reason when it is aborted before the write began; from then on the write decides. */
  push(encoded: EncodedDraft, signal: AbortSignal): Promise<Appended> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      this.#listenTo(signal);
      this.#entries.push({ encoded, signal, resolve, reject });
      this.#bytes += encoded.bytes;
    });
  }

  /** Takes as many as fit, one at least. */
  take(bytesMax: number, framesMax: number): PendingAppend[] {
    let bytes = 0;
    let count = 0;
    for (const { encoded } of this.#entries) {
      bytes += encoded.bytes;
      if (count > 0 && (bytes > bytesMax || count >= framesMax)) break;
      count += 1;
    }
    const taken = this.#entries.splice(0, count);
    for (const { encoded } of taken) this.#bytes -= encoded.bytes;
    if (this.#entries.length === 0) this.#listenToNone();
    return taken;
  }

  /** Puts back what found no room. What was aborted meanwhile is gone. */
  putBack(group: readonly PendingAppend[]): void {
    const waiting: PendingAppend[] = [];
    for (const entry of group) {
      if (entry.signal.aborted) {
        entry.reject(entry.signal.reason);
        continue;
      }
      this.#listenTo(entry.signal);
      waiting.push(entry);
      this.#bytes += entry.encoded.bytes;
    }
    this.#entries = [...waiting, ...this.#entries];
  }

  rejectAll(reason: unknown): void {
    const entries = this.#entries;
    this.#entries = [];
    this.#bytes = 0;
    this.#listenToNone();
    for (const entry of entries) entry.reject(reason);
  }

  #listenTo(signal: AbortSignal): void {
    if (this.#listeners.has(signal)) return;
    const drop = (): void => this.#drop(signal);
    this.#listeners.set(signal, drop);
    signal.addEventListener('abort', drop, { once: true });
  }

  #listenToNone(): void {
    for (const [signal, drop] of this.#listeners) signal.removeEventListener('abort', drop);
    this.#listeners.clear();
  }

  #drop(signal: AbortSignal): void {
    this.#listeners.delete(signal);
    const { waiting = [], dropped = [] } = Object.groupBy(this.#entries, (entry) => (entry.signal === signal ? 'dropped' : 'waiting'));
    this.#entries = waiting;
    for (const entry of dropped) {
      this.#bytes -= entry.encoded.bytes;
      entry.reject(signal.reason);
    }
    if (dropped.length > 0) this.#onDrop();
  }
}
