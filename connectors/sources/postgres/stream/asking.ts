/** Waiting for the stream to come somewhere. One that has nothing to send does not say where it is: as long as somebody waits, it is asked. */
import type { Clock } from '../../../../src/runtime/clock.ts';

/** It is asked this often at first, and this often when it takes long. */
const FIRST_MS = 20;
const LAST_MS = 1_000;

/** Asks until `done`. Rejects with the signal's reason when that is aborted, and with what `ask` throws. */
export async function askUntil(done: () => boolean, ask: () => Promise<void> | void, clock: Clock, signal: AbortSignal): Promise<void> {
  for (let pauseMs = FIRST_MS; !done(); pauseMs = Math.min(pauseMs * 2, LAST_MS)) {
    await ask();
    await clock.sleep(pauseMs, signal);
  }
}
