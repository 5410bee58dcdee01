/**
 * The least that any client of the server's stream has to do: read its socket as capture does and throw everything away. What this takes is
 * the server's own time to decode and to send.
 */
import { postgresSource } from '../../connectors/sources/postgres/index.ts';
import type { PostgresConfig } from '../../connectors/sources/postgres/config.ts';
import { ReplicationConnection } from '../../connectors/sources/postgres/connection/replication-connection.ts';
import { parseLsn } from '../../connectors/sources/postgres/position.ts';
import { startReplicationCommand } from '../../connectors/sources/postgres/stream/start-command.ts';
import { Mux } from '../../connectors/sources/postgres/wire/mux.ts';
import { standbyStatus } from '../../connectors/sources/postgres/wire/replication-message.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';

/** The server tells how far it has decoded when it is asked. */
const ASK_EVERY_MS = 20;

/** Messages that are read in one piece at most. */
const BODY_BYTES_MAX = 1024 * 1024;

/** As capture does: small pieces that come closely behind each other are worth a pause (`stream-run.ts`). */
const PIECE_WORTHWHILE_BYTES = 48 * 1024;
const GATHER_MS = 1;

/** Seconds to read the slot's stream up to `until`. Nothing is confirmed. */
export async function discardStream(url: string, slot: string, publication: string, until: string): Promise<number> {
  const { clock } = nodeRuntime(silentLogger);
  const config = postgresSource.configSchema.parse({ type: 'postgres', url, slot, publication }) as PostgresConfig;
  const { signal } = new AbortController();
  const startMs = performance.now();
  await using connection = await ReplicationConnection.open({ config, clock, encoding: 'UTF8', errors: { source: 'bench', slot, publication, user: 'bench' } }, signal);
  const end = parseLsn(until);
  const reached = Promise.withResolvers<void>();
  const { ended } = await connection.startStreaming(
    startReplicationCommand(slot, publication, 0n),
    (socket, pieces) => {
      const mux: Mux = new Mux(
        socket,
        pieces,
        {
          began: () => {},
          pluginMessage: () => {},
          largeMessage: () => ({ part: () => {}, end: () => {} }),
          keepalive: (lsn) => {
            if (lsn >= end) reached.resolve();
          },
          received: (bytes) => {
            if (bytes >= PIECE_WORTHWHILE_BYTES) return;
            mux.pause();
            setTimeout(() => mux.resume(), GATHER_MS);
          },
          failed: reached.reject,
        },
        BODY_BYTES_MAX,
      );
    },
    reached.reject,
  );
  const asking = setInterval(() => connection.write(standbyStatus({ received: 0n, flushed: 0n, nowMs: Date.now(), replyRequested: true })), ASK_EVERY_MS);
  try {
    await Promise.race([reached.promise, ended]);
  } finally {
    clearInterval(asking);
  }
  return (performance.now() - startMs) / 1000;
}
