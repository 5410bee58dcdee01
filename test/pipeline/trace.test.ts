import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Op } from '../../src/change/operation.ts';
import { versionOf, type Seq } from '../../src/change/seq.ts';
import type { LogStore } from '../../src/connector/log-store.ts';
import type { TargetGeneration } from '../../src/connector/target.ts';
import { createDocumentBuilder } from '../../src/document/builder.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { openLogReadOnly } from '../../src/log/read-only.ts';
import { heldBy, traceDocument, type TraceReport } from '../../src/pipeline/trace.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import type { GenerationRecord, StateStore } from '../../src/state/state-store.ts';
import { never, temporaryFolder } from '../log/fixtures.ts';
import { MemoryStorage, MemoryTarget } from '../sim/memory-target.ts';
import { append, definition, rowFormat, rowLog, runtime, tell } from './logged-rows.ts';

const { fingerprint } = createDocumentBuilder(definition, { format: rowFormat });

const served: GenerationRecord = {
  index: 'items',
  generation: 1,
  phase: 'serving',
  startSeq: 0,
  fingerprint,
  definition: JSON.stringify(definition),
  incarnation: '',
  reason: 'new',
  wholeSeq: 0,
  held: false,
  abandoned: false,
  createdAtMs: 0,
  retiredAtMs: null,
};

/** A log, a state and a target, to be filled by hand. */
class Scene implements AsyncDisposable {
  readonly storage = new MemoryStorage({ atomicCursor: true });
  readonly target = new MemoryTarget('memory', this.storage);
  readonly folder: string;
  readonly log: LogStore;
  readonly state: StateStore;
  readonly #opened: AsyncDisposableStack;

  private constructor(folder: string, log: LogStore, state: StateStore, opened: AsyncDisposableStack) {
    this.folder = folder;
    this.log = log;
    this.state = state;
    this.#opened = opened;
  }

  static async make(): Promise<Scene> {
    const opened = new AsyncDisposableStack();
    const { path } = opened.use(await temporaryFolder());
    const log = opened.use(await rowLog(path));
    return new Scene(path, log, opened.use(openSqliteState({ path: join(path, 'state.db') })), opened);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened.disposeAsync();
  }

  /** Puts documents into a generation, moves its cursor, and shows it to readers. */
  async index(documents: Readonly<Record<string, readonly [seq: Seq, document: string]>>, cursor: Seq, more: Partial<GenerationRecord> = {}): Promise<TargetGeneration> {
    const record = { ...served, ...more };
    this.state.putGenerations(record);
    const binding = { logId: this.log.logId, epoch: this.log.epoch, fingerprint };
    const generation = await this.target.open({ index: 'items', generation: record.generation, binding, fields: [], isBuilding: false, options: {} }, never);
    const operations = Object.entries(documents).map(([id, [seq, document]]) => ({ kind: 'put' as const, id, version: versionOf(this.log.epoch, seq), document }));
    await generation.apply({ operations, cursor }, never);
    await generation.promote(never);
    return generation;
  }

  async trace(id: string, more: { readonly definition?: typeof definition; readonly first?: number; readonly limit?: number } = {}): Promise<TraceReport> {
    await using log = await openLogReadOnly(join(this.folder, 'log'), runtime);
    const held = await heldBy(this.target, 'items', id, never);
    const formats = new Map([[rowFormat.name, rowFormat]]);
    return await traceDocument({ definition, id, first: 1, limit: 100, ...more }, held, { log, state: this.state, formats, transform: undefined, formatPosition: (source, position) => `${source}@${Buffer.from(position).toString('hex')}` }, never);
  }
}

const outcomes = ({ changes }: TraceReport): string[] => changes.map(({ seq, outcome }) => `${seq} ${outcome}`);

describe('the trace of a document', () => {
  test.each([
    ['that is gone from its target', (scene: Scene): unknown => scene.storage.index('items').generations.clear(), 'TGT_MISSING', 'Generation 1 of index items, which its readers are to see, is not at target memory any more.'],
    ['whose name was taken from it', (scene: Scene): unknown => Object.assign(scene.storage.index('items'), { promoted: null }), 'TGT_IDENTITY', 'Readers of index items find nothing at target memory: the name was taken from generation 1, which is there.'],
  ])('of an index %s says so, and makes nothing up about what became of the changes', async (_, change, code, message) => {
    await using scene = await Scene.make();
    await append(scene.log, [{ id: 'a', name: 'one' }]);
    await scene.index({ a: [1, '{"id":"a","name":"one"}'] }, 1);
    change(scene);
    const { unseen, error, stored, changes } = await scene.trace('a');
    expect({ unseen, error, stored, outcomes: changes.map(({ outcome }) => outcome) }).toMatchObject({ unseen: { code, message }, error: null, stored: null });
    expect(changes.map(({ outcome }) => outcome)).not.toContain('lost');
  });

  test('tells its changes, what became of them, its row and what the target holds', async () => {
    await using scene = await Scene.make();
    await append(scene.log, [{ id: 'a', op: Op.insert, name: 'one' }]);
    await append(scene.log, [{ id: 'b' }]);
    await append(scene.log, [{ id: 'a', name: 'two' }]);
    await append(scene.log, [{ id: 'a', name: 'three' }]);
    await scene.index({ a: [3, '{"id":"a","name":"two"}'] }, 3);
    expect(await scene.trace('a')).toEqual({
      index: 'items',
      id: 'a',
      source: 'shop',
      table: 'public.items',
      key: [{ column: 'id', value: 'a' }],
      generation: 1,
      cursor: 3,
      error: null,
      unseen: null,
      changes: [
        { seq: 1, op: 'insert', key_changed: false, version: '281474976710657', frame: 'stream', snapshot: null, transaction: '1', position: 'shop@01', commit_time_ms: 1, row_bytes: 23, outcome: 'superseded' },
        { seq: 3, op: 'update', key_changed: false, version: '281474976710659', frame: 'stream', snapshot: null, transaction: '3', position: 'shop@03', commit_time_ms: 3, row_bytes: 23, outcome: 'applied' },
        { seq: 4, op: 'update', key_changed: false, version: '281474976710660', frame: 'stream', snapshot: null, transaction: '4', position: 'shop@04', commit_time_ms: 4, row_bytes: 25, outcome: 'pending' },
      ],
      dead_letters: [],
      log: { epoch: 1, first_seq: 1, last_seq: 4, read_from_seq: 1 },
      stored: { version: '281474976710659', epoch: 1, seq: 3, as_built: true, document: '{"id":"a","name":"two"}' },
    });
    expect((await scene.trace('a', { limit: 1 })).log.read_from_seq).toBe(4);
    expect(await scene.trace('a', { first: 4 })).toMatchObject({ log: { read_from_seq: 4 }, changes: [{ seq: 4 }] });
    expect(await scene.trace('nobody')).toMatchObject({ changes: [], stored: null, dead_letters: [] });
  });

  test('shows a document that somebody else has written over, removed or left behind', async () => {
    await using scene = await Scene.make();
    await append(scene.log, [{ id: 'a' }, { id: 'b' }, { id: 'c' }, { id: 'd' }]);
    await append(scene.log, [{ id: 'c', op: Op.delete }, { id: 'd', name: 'hidden' }]);
    await scene.index({ a: [1, '{"id":"a","name":"other"}'], c: [3, '{"id":"c","name":"c"}'] }, 6);
    expect(await scene.trace('a')).toMatchObject({ stored: { as_built: false }, changes: [{ outcome: 'applied' }] });
    expect(outcomes(await scene.trace('b'))).toEqual(['2 lost']);
    expect(outcomes(await scene.trace('c'))).toEqual(['3 applied', '5 lost']);
    expect(outcomes(await scene.trace('d'))).toEqual(['4 superseded', '6 filtered']);
  });

  test('goes by the definition that the generation is built by, and does not guess without it, nor of a row that cannot be read', async () => {
    await using scene = await Scene.make();
    await append(scene.log, [{ id: 'a' }, { id: 'b', name: 'unreadable' }]);
    await scene.index({}, 2);
    const changed = { ...definition, where: "name != 'a'" };
    expect(outcomes(await scene.trace('a', { definition: changed }))).toEqual(['1 lost']);
    expect(outcomes(await scene.trace('b'))).toEqual(['2 unknown']);
    scene.state.putGenerations({ ...served, definition: '' });
    expect(outcomes(await scene.trace('a', { definition: changed }))).toEqual(['1 unknown']);
    expect(outcomes(await scene.trace('a'))).toEqual(['1 lost']);
    scene.state.putGenerations({ ...served, definition: JSON.stringify({ ...definition, transform: './shape.ts' }) });
    expect(outcomes(await scene.trace('a'))).toEqual(['1 unknown']);
  });

  test('tells why it is parked, and in which generation', async () => {
    await using scene = await Scene.make();
    await append(scene.log, [{ id: 'a' }, { id: 'a', name: 'bad' }]);
    await scene.index({}, 2);
    const letter = { index: 'items', id: 'a', code: 'TGT_REJECTED' as const, reason: 'It is bad.', parkedAtMs: 5 };
    scene.state.park([{ ...letter, generation: 1, seq: 2 }, { ...letter, generation: 7, seq: 1 }, { ...letter, id: 'b', generation: 1, seq: 2 }]);
    const report = await scene.trace('a');
    expect(outcomes(report)).toEqual(['1 superseded', '2 parked']);
    expect(report.dead_letters).toEqual([
      { generation: 1, seq: 2, code: 'TGT_REJECTED', reason: 'It is bad.', parked_at_ms: 5 },
      { generation: 7, seq: 1, code: 'TGT_REJECTED', reason: 'It is bad.', parked_at_ms: 5 },
    ]);
  });

  test('is about the generation that readers see, and knows whose a snapshot\'s rows are', async () => {
    await using scene = await Scene.make();
    await append(scene.log, [{ id: 'a', name: 'before' }]);
    await tell(scene.log, { number: 1, for: ['items-g0001'], startSeq: 1, doneSeq: 2 });
    await tell(scene.log, { number: 2, for: ['items-g0002'], startSeq: 2, doneSeq: 3, sweep: false });
    await append(scene.log, [{ id: 'a', name: 'one' }], 1);
    await append(scene.log, [{ id: 'a', name: 'two' }], 2);
    await scene.index({ a: [2, '{"id":"a","name":"one"}'] }, 3, { startSeq: 1 });
    scene.state.putGenerations({ ...served, generation: 2, phase: 'building', startSeq: 1 });
    const report = await scene.trace('a');
    expect(report.generation).toBe(1);
    expect(report.changes.map(({ seq, frame, snapshot, outcome }) => [seq, frame, snapshot, outcome])).toEqual([
      [1, 'stream', null, 'before_generation'],
      [2, 'snapshot', 1, 'applied'],
      [3, 'snapshot', 2, 'not_taken'],
    ]);
  });

  test('says where an index that was rewound begins again', async () => {
    await using scene = await Scene.make();
    await append(scene.log, [{ id: 'a' }, { id: 'b' }]);
    await scene.index({ a: [1, '{"id":"a","name":"a"}'] }, 2);
    scene.state.putCursor('items', 1, 1);
    expect(await scene.trace('b')).toMatchObject({ cursor: 1, changes: [{ outcome: 'pending' }] });
  });

  test('has the side of the log when the target does not answer, or nothing was built yet', async () => {
    await using scene = await Scene.make();
    await append(scene.log, [{ id: 'a' }]);
    expect(await scene.trace('a')).toMatchObject({ generation: null, cursor: null, error: null, changes: [{ seq: 1, outcome: 'unknown' }], stored: null });
    await scene.index({ a: [1, '{"id":"a","name":"a"}'] }, 1);
    scene.target.generations = () => Promise.reject(new TailraceError('TGT_CONN', { message: 'Nobody is there.' }));
    expect(await scene.trace('a')).toMatchObject({ generation: 1, cursor: null, error: { code: 'TGT_CONN', message: 'Nobody is there.' }, changes: [{ seq: 1, outcome: 'unknown' }], stored: null });
    await expect(heldBy(scene.target, 'items', 'a', AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' });
  });

  test('refuses an id that no row can have', async () => {
    await using scene = await Scene.make();
    await expect(scene.trace('%41')).rejects.toMatchObject({ code: 'USAGE', message: '"%41" is no id that a document can have.' });
  });

  test('knows a row without a key by the digest of all of it', async () => {
    await using scene = await Scene.make();
    const digest = Buffer.alloc(32, 0xfe);
    expect((await scene.trace(Array.from(digest, () => '%FE').join(''))).key).toBeNull();
  });
});
