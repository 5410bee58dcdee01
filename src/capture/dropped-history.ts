/** A rebuild begins with a new history: the old place in it is forgotten at the source, and then in the log. */
import { FrameKind, type LogStore } from '../connector/log-store.ts';
import type { Source } from '../connector/source.ts';
import { identityRegister, positionRegister } from './resume-point.ts';
import { snapshotsIn } from './snapshot-state.ts';

/** Done again after it failed in its middle it does the rest. Waits while the log is full. Rejects with what the source says, or what the log does. */
export async function dropHistory(source: Source, log: LogStore, signal: AbortSignal): Promise<void> {
  await source.dropHistory(signal);
  const { name } = source;
  const snapshots = new Set(snapshotsIn(log.registers).flatMap((snapshot) => (snapshot.source === name ? [`snapshot:${name}:${snapshot.number}`] : [])));
  const progress = [...log.registers.keys()].filter((register) => register.startsWith(`range:${name}:`) || snapshots.has(register));
  const registers = [identityRegister(name), positionRegister(name), ...progress].map((register): readonly [string, null] => [register, null]);
  await log.append({ kind: FrameKind.control, source: name, snapshot: 0, entries: Buffer.alloc(0), count: 0, transactions: [], registers }, signal);
}
