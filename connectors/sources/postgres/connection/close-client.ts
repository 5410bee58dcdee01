/** Ends a pg client in bounded time: politely when the network still works, by force when it does not. */
import type { Socket } from 'node:net';
import type { Client } from 'pg';
import type { Clock } from '../../../../src/runtime/clock.ts';

/** A terminate message that did not get through by then never will. */
const CLOSE_WITHIN_MS = 500;

export async function closeClient(client: Client, socket: Socket, clock: Clock): Promise<void> {
  const cancel = clock.schedule(CLOSE_WITHIN_MS, () => socket.destroy());
  try {
    await client.end();
  } finally {
    cancel();
    socket.destroy();
  }
}
