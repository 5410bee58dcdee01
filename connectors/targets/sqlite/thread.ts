/**
 * The main thread's end of a database thread: requests go over one at a time, in order. A thread that ends unexpectedly fails what was
 * under way with TGT_CONN, and the next request starts a new one: everything it needs is in the file.
 */
import { Worker } from 'node:worker_threads';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { Answer, Exchanges, Failure, Kind, ThreadStart } from './messages.ts';

/** `worker.ts` where the sources run as they are, `worker.js` in the built package. */
const workerFile = new URL(`./worker${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`, import.meta.url);

interface Task {
  readonly kind: Kind;
  readonly body: unknown;
  readonly transfer: readonly ArrayBuffer[];
  readonly signal: AbortSignal | undefined;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (reason: unknown) => void;
  readonly onAbort: () => void;
}

export class DatabaseThread {
  readonly #start: ThreadStart;
  readonly #file: URL;
  #worker: Worker | undefined;
  /** The first is with the thread. */
  #tasks: Task[] = [];
  #sent = false;
  #closing: Promise<void> | undefined;

  constructor(start: ThreadStart, file: URL = workerFile) {
    this.#start = start;
    this.#file = file;
  }

  /**
   * Rejects with the signal's reason as soon as it is aborted: a request that has not begun is never performed, one that has begun is
   * performed to its end. `transfer` names buffers in `body` that move instead of being copied.
   */
  request<K extends Kind>(kind: K, body: Exchanges[K]['request'], signal?: AbortSignal, transfer: readonly ArrayBuffer[] = []): Promise<Exchanges[K]['reply']> {
    if (this.#closing !== undefined && kind !== 'close') return Promise.reject(this.#lost('it was closed'));
    return new Promise<unknown>((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const task: Task = { kind, body, transfer, signal, resolve, reject, onAbort: () => this.#abort(task) };
      signal?.addEventListener('abort', task.onAbort, { once: true });
      this.#tasks.push(task);
      this.#next();
    }) as Promise<Exchanges[K]['reply']>;
  }

  /** Takes no more requests, performs those it has, and when `after` has resolved closes the file and ends the thread. */
  close(after: Promise<void> = Promise.resolve()): Promise<void> {
    this.#closing ??= this.#finish(after);
    return this.#closing;
  }

  async #finish(after: Promise<void>): Promise<void> {
    await after;
    if (this.#worker === undefined && this.#tasks.length === 0) return;
    const ended = new Promise<void>((resolve) => {
      const closed = this.request('close', null);
      // Whether the thread said goodbye or died before: it is gone, and the file holds what was committed.
      closed.then(
        () => this.#worker?.once('exit', () => resolve()) ?? resolve(),
        () => resolve(),
      );
    });
    await ended;
  }

  #next(): void {
    const task = this.#tasks[0];
    if (task === undefined || this.#sent) return;
    this.#worker ??= this.#launch();
    this.#sent = true;
    this.#worker.postMessage({ kind: task.kind, body: task.body }, task.transfer);
  }

  #abort(task: Task): void {
    task.reject(task.signal?.reason);
    if (this.#sent && this.#tasks[0] === task) this.#worker?.postMessage({ kind: 'cancel' });
    else this.#tasks = this.#tasks.filter((other) => other !== task);
  }

  #launch(): Worker {
    // No flags of the process: some are about its main script (`--input-type`), and the thread needs none.
    const worker = new Worker(this.#file, { workerData: this.#start, name: `sqlite ${this.#start.role}`, execArgv: [] });
    let reason = 'it ended';
    worker.on('message', (answer: Answer) => {
      const task = this.#take();
      if ('reply' in answer) task?.resolve(answer.reply);
      else task?.reject(errorOf(answer.failure));
      this.#next();
    });
    worker.on('error', (error) => {
      reason = error instanceof Error ? error.message : String(error);
    });
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
      if (this.#sent) this.#take()?.reject(this.#lost(reason));
      this.#next();
    });
    return worker;
  }

  /** The task that the thread was working on. */
  #take(): Task | undefined {
    const task = this.#tasks.shift();
    this.#sent = false;
    task?.signal?.removeEventListener('abort', task.onAbort);
    return task;
  }

  #lost(reason: string): TailraceError {
    const { role, path } = this.#start;
    return new TailraceError('TGT_CONN', {
      message: `The thread that ${role === 'writer' ? 'writes to' : 'reads'} ${path} is gone: ${reason}.`,
      hint: 'It is started again by itself; if it repeats, report it with the message.',
      entity: path,
    });
  }
}

function errorOf({ code, message, hint, did, entity, cause }: Failure): TailraceError {
  return new TailraceError(code, { message, hint, did, entity, cause });
}
