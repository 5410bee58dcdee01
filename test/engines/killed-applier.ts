/**
 * An applier on a log that lies ready, into a target: what it is made of, and, run as a process of its own with JSON of `ApplierTask`, the one that
 * is killed. It says `begun` when it applies, and `through` at the end of the log; it ends only by being killed.
 */
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { sqliteTarget } from '../../connectors/targets/sqlite/index.ts';
import { Applier, type ApplyStatus } from '../../src/apply/applier.ts';
import { newCounters } from '../../src/apply/counters.ts';
import type { GenerationPlan, Target } from '../../src/connector/target.ts';
import type { BuiltDocument, DocumentBuilder } from '../../src/document/builder.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { openLog } from '../../src/log/open.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import { optionsOf } from '../log/fixtures.ts';

export interface ApplierTask {
  /** Has `log`, `state.db`, and what a target in a file keeps. */
  readonly folder: string;
  readonly generation: number;
  /** Of OpenSearch; null: a file in the folder. */
  readonly url: string | null;
}

export const table = 'public.things';
export const index = 'things';

/** A row with this text makes no document. */
export const UNBUILDABLE = 'unbuildable';

const runtime = nodeRuntime(silentLogger);

export async function targetOf({ folder, url }: ApplierTask): Promise<Target> {
  const context = { name: 'search', runtime, dataDirectory: folder };
  if (url === null) return sqliteTarget.create(sqliteTarget.configSchema.parse({ type: 'sqlite' }), context);
  // Only where it is needed: it takes longer to load than all the rest, and a process that is killed loads it anew.
  const { openSearchTarget } = await import('../../connectors/targets/opensearch/index.ts');
  return openSearchTarget.create(openSearchTarget.configSchema.parse({ type: 'opensearch', url }), context);
}

export function planOf({ generation }: ApplierTask, logId: string, epoch: number): GenerationPlan {
  return { index, generation, binding: { logId, epoch, fingerprint: 'f' }, fields: [{ name: 'row', kind: 'text' }], isBuilding: false, options: {} };
}

function documents(): DocumentBuilder {
  const build = (bytes: Uint8Array): BuiltDocument => {
    const row = Buffer.from(bytes).toString();
    if (row === UNBUILDABLE) throw new TailraceError('DOC_FAILED', { message: 'The row makes no document.' });
    return { kind: 'document', json: JSON.stringify({ row }) };
  };
  return { fingerprint: 'f', fields: [], fieldsOf: () => [], forSchema: () => ({ build }) };
}

/** Applies the log until the signal is aborted; `onStatus` is told now and then. */
export async function applyLog(task: ApplierTask, signal: AbortSignal, onStatus: (status: ApplyStatus, durableSeq: number) => void): Promise<void> {
  await using log = await openLog(optionsOf(join(task.folder, 'log')), runtime);
  using state = openSqliteState({ path: join(task.folder, 'state.db') });
  await using target = await targetOf(task);
  await using opened = await target.open(planOf(task, log.logId, log.epoch), signal);
  const { atomicCursor } = target.capabilities;
  const settings = { batchOperations: 8, batchBytes: 1_000_000, concurrency: 3, onError: 'dead_letter', deadLettersMax: 1_000 } as const;
  const common = { index, generation: task.generation, source: 'shop', table, startSeq: 0, atomicCursor, log, target: opened, documents: documents(), state, runtime, settings };
  const applier = new Applier({ ...common, counters: newCounters(), isBuilding: () => false, onSnapshotApplied: async () => {} });
  const telling = setInterval(() => onStatus(applier.status(), log.durableSeq), 1);
  try {
    await applier.run(signal);
  } finally {
    clearInterval(telling);
  }
}

if (pathToFileURL(process.argv[1] ?? '').href === import.meta.url) {
  const said = new Set<string>();
  const say = (word: string): void => {
    if (said.has(word)) return;
    said.add(word);
    writeSync(1, `${word}\n`);
  };
  await applyLog(JSON.parse(process.argv[2] ?? '{}') as ApplierTask, new AbortController().signal, ({ cursor }, durableSeq) => {
    if (cursor !== null) say('begun');
    if (cursor === durableSeq) say('through');
  });
}
