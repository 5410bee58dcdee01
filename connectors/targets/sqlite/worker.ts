/**
 * A database thread: answers one request after the other, waiting for locks of other programs up to a limit.
 * It runs in a worker thread, so that tokenizing and fsync hold up nothing else in the process.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { invariant } from '../../../src/errors/invariant.ts';
import { failureOn, isBusy } from './failure.ts';
import type { Answer, Cancel, Failure, Request, ThreadStart } from './messages.ts';
import { Reader } from './reader.ts';
import { Scanner } from './scanner.ts';
import { Writer } from './writer.ts';

/** Between two tries for a lock, beside the time that SQLite itself waits. */
const LOCK_PAUSE_MS = 20;

invariant(parentPort !== null, 'a database thread has a parent');
const parent = parentPort;
const start = workerData as ThreadStart;
const service = { writer: () => new Writer(start), reader: () => new Reader(start), scanner: () => new Scanner(start) }[start.role]();
let cancelled = false;

parent.on('message', (message: Request | Cancel) => {
  if (message.kind === 'cancel') {
    cancelled = true;
    return;
  }
  cancelled = false;
  answer(message, performance.now() + start.lockWaitMs);
});

function answer(request: Request, giveUpAtMs: number): void {
  try {
    const reply = perform(request);
    send({ reply });
  } catch (error) {
    if (isBusy(error) && !cancelled && performance.now() < giveUpAtMs) {
      // A lock: nothing was written. Pausing here lets a cancellation in.
      setTimeout(answer, LOCK_PAUSE_MS, request, giveUpAtMs);
      return;
    }
    send({ failure: failureOf(error) });
  }
  if (request.kind === 'close') parent.close();
}

function perform(request: Request): unknown {
  const handler = (service as unknown as Readonly<Record<string, ((body: unknown) => unknown) | undefined>>)[request.kind];
  invariant(handler !== undefined, `the ${start.role} of a database is not asked to ${request.kind}`);
  return handler.call(service, request.body);
}

function send(message: Answer): void {
  parent.postMessage(message);
}

function failureOf(error: unknown): Failure {
  const { code, message, hint, did, entity, cause } = failureOn(start.path, error);
  const origin = cause ?? error;
  return { code, message, hint, did, entity, cause: origin instanceof Error ? origin.stack : undefined };
}
