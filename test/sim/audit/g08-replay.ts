/** G8: applying any suffix of the log again, from any older cursor, gives the same index. */
import type { SimRandom } from '../kernel/sim-random.ts';
import { DATA_DIRECTORY } from '../world/daemon.ts';
import type { World } from '../world/world.ts';
import type { KeptDocuments } from './kept-documents.ts';

/** Documents by index, as they were before the replay. */
export type BeforeReplay = ReadonlyMap<string, KeptDocuments>;

/** Stops the daemon and puts every cursor back to somewhere in what the log still holds. The next start replays from there. */
export async function startReplay(world: World, random: SimRandom, stop: () => Promise<void>): Promise<BeforeReplay> {
  await stop();
  const firstSeq = world.daemon?.log?.firstSeq ?? 1;
  const before = new Map<string, KeptDocuments>();
  const state = world.machine.state(`${DATA_DIRECTORY}/state.db`);
  for (const index of world.indices) {
    const record = world.record(index.name);
    if (record === undefined) continue;
    const { generation, startSeq } = record;
    before.set(index.name, live(world.kept(index, generation)));
    const cursor = world.durableCursor(index, record);
    const lowest = Math.max(startSeq, firstSeq - 1);
    if (cursor === null || cursor <= lowest) continue;
    const older = random.chance(0.3) ? lowest : random.between(lowest, cursor - 1);
    const kept = world.storage(index).index(index.name).generations.get(generation);
    if (world.storage(index).atomicCursor && kept !== undefined) kept.cursor = older;
    else state.cursors.set(`${index.name} ${generation}`, older);
    world.cursors.putBack(record);
    world.executor.note(`${index.name} is to be replayed from ${older} instead of ${cursor}`);
    world.coverage.saw('a suffix of the log was replayed');
  }
  return before;
}

export function auditReplay(world: World, before: BeforeReplay): void {
  for (const [name, documents] of before) {
    const record = world.record(name);
    if (record === undefined) continue;
    const now = live(world.kept(world.index(name), record.generation));
    for (const [id, { version, document }] of documents) {
      const replayed = now.get(id);
      world.findings.expect('G8', replayed?.version === version && replayed.document === document, () => `${name}: ${id} was ${document} (version ${version}) before the replay, and is ${replayed?.document} (version ${replayed?.version})`);
    }
    for (const id of now.keys()) world.findings.expect('G8', documents.has(id), () => `${name}: ${id} is there after the replay, and was not before`);
  }
}

function live(kept: KeptDocuments): KeptDocuments {
  return new Map([...kept].filter(([, { document }]) => document !== null));
}
