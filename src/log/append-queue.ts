/** Appends that wait for their turn, in the order of the calls. */
import type { EncodedDraft } from './group.ts';

export interface Appended {
  readonly firstSeq: number;
  readonly lastSeq: number;
}

export interface PendingAppend {
  readonly encoded: EncodedDraft;
  readonly resolve: (appended: Appended) => void;
  readonly reject: (reason: unknown) => void;
}

interface Entry extends PendingAppend {
  readonly signal: AbortSignal;
}

export class AppendQueue {
  #entries: Entry[] = [];

  get length(): number {
    return this.#entries.length;
  }

  /** Bytes of the frame that is next; 0 when there is none. */
  get nextBytes(): number {
    return this.#entries[0]?.encoded.bytes ?? 0;
  }

  /** Rejects with the signal's reason when it is aborted before the write began; from then on the write decides. */
  push(encoded: EncodedDraft, signal: AbortSignal, onAbort: () => void): Promise<Appended> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const abort = (): void => {
        const place = this.#entries.indexOf(entry);
        if (place === -1) return;
        this.#entries.splice(place, 1);
        reject(signal.reason as Error);
        onAbort();
      };
      const entry: Entry = {
        encoded,
        signal,
        resolve: (appended) => {
          signal.removeEventListener('abort', abort);
          resolve(appended);
        },
        reject: (reason) => {
          signal.removeEventListener('abort', abort);
          reject(reason as Error);
        },
      };
      signal.addEventListener('abort', abort, { once: true });
      this.#entries.push(entry);
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
    return this.#entries.splice(0, count);
  }

  /** Puts back what found no room. What was aborted meanwhile is gone. */
  putBack(group: readonly PendingAppend[]): void {
    const waiting: Entry[] = [];
    for (const entry of group as readonly Entry[]) {
      if (entry.signal.aborted) entry.reject(entry.signal.reason);
      else waiting.push(entry);
    }
    this.#entries = [...waiting, ...this.#entries];
  }

  rejectAll(reason: unknown): void {
    const entries = this.#entries;
    this.#entries = [];
    for (const entry of entries) entry.reject(reason);
  }
}
