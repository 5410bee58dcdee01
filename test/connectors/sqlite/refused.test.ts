import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from 'vitest';
import { Generation } from '../../../connectors/targets/sqlite/generation.ts';
import { fileSql, generationSql } from '../../../connectors/targets/sqlite/layout.ts';
import { Outcome, type PackedBatch } from '../../../connectors/targets/sqlite/messages.ts';
import { batchOf, del, put } from '../../contract/target-fixture.ts';
import { noFieldsText, plan, temporaryFolder } from './folder.ts';
import { inspect } from './inspect.ts';

const { signal } = new AbortController();

describe('a document is parked by itself', () => {
  test('when it is no JSON or nested too deep, and its neighbours are written with their words', async () => {
    using folder = temporaryFolder();
    {
      await using target = folder.target();
      const generation = await target.open(plan('things'), signal);
      await generation.promote(signal);
      await generation.apply(batchOf(1, put('old', 1n, { text: 'amber' }), put('gone', 1n, { text: 'basalt' }), put('kept', 1n, { text: 'cedar' })), signal);
      const deep = '['.repeat(1500) + ']'.repeat(1500);
      const results = await generation.apply(
        batchOf(
          9,
          { kind: 'put', id: 'kept', version: 2n, document: `{"text":"delta","x":${deep}}` },
          put('old', 2n, { text: 'ember' }),
          { kind: 'put', id: 'new', version: 2n, document: 'no json' },
          del('gone', 2n),
          put('fresh', 2n, { text: 'fjord' }),
        ),
        signal,
      );
      expect(results.map(({ outcome }) => outcome)).toEqual(['poison', 'applied', 'poison', 'applied', 'applied']);
      const found = async (text: string): Promise<string[]> => (await target.search({ index: 'things', text, limit: 9 }, signal)).map(({ id }) => id);
      expect([await found('amber'), await found('ember'), await found('basalt'), await found('cedar'), await found('delta'), await found('fjord')]).toEqual([[], ['old'], [], ['kept'], [], ['fresh']]);
    }
    inspect(folder.file);
  });

  test('when its id is no Unicode, since two such ids would be stored as one', async () => {
    using folder = temporaryFolder();
    await using target = folder.target();
    const generation = await target.open(plan('things'), signal);
    await generation.promote(signal);
    const results = await generation.apply(batchOf(1, put('x\ud800', 1n), put('x\ud801', 1n), put('x\ufffd', 1n), put('x😀', 1n), put('nul\0a', 1n), put('nul\0b', 2n)), signal);
    expect(results.map(({ outcome }) => outcome)).toEqual(['poison', 'poison', 'applied', 'applied', 'applied', 'applied']);
    expect((await target.fetch('things', ['x\ud800', 'x\ufffd', 'nul\0a', 'nul\0b'], signal)).map((held) => held?.version ?? null)).toEqual([null, 1n, 1n, 2n]);
    expect((await generation.stats()).documents).toBe(4);
  });

  test('when it, or it with its id, is longer than SQLite stores, and what was there stays with its words', () => {
    using folder = temporaryFolder();
    const db = new DatabaseSync(folder.file);
    db.exec(fileSql + generationSql(1, noFieldsText));
    db.exec("INSERT INTO tailrace_generations (uid, index_name, generation, log_id, epoch, fingerprint, fields, text_plan) VALUES ('u', 'things', 1, 'l', 1, 'f', '[]', '{}')");
    const generation = new Generation(db, 1, noFieldsText);
    const batchOfDocuments = (version: bigint, documents: Readonly<Record<string, string | null>>): PackedBatch => ({
      ids: Object.keys(documents),
      versions: new BigInt64Array(Object.keys(documents).length).fill(version),
      documents: Object.values(documents),
      clearBelow: undefined,
      forgetBelow: undefined,
      cursor: Number(version),
    });
    const longId = 'id '.repeat(50);
    generation.apply(batchOfDocuments(1n, { [longId]: '{"t":"cedar"}' }));
    db.limits.length = 20_000;
    const nearly = `{"t":"${'x'.repeat(19_980)}"}`;
    const { outcomes, poison } = generation.apply(batchOfDocuments(2n, { a: '{"t":"amber"}', big: `{"t":"${'x'.repeat(30_000)}"}`, [longId]: nearly, b: '{"t":"basalt"}', c: null }));
    expect([...outcomes]).toEqual([Outcome.applied, Outcome.poison, Outcome.poison, Outcome.applied, Outcome.applied]);
    for (const { code, reason } of poison) expect([code, reason]).toEqual(['TGT_REJECTED', expect.stringContaining('longer')]);
    expect(new Set(poison.map(({ at }) => at))).toEqual(new Set([1, 2]));
    expect(db.prepare('SELECT id, document FROM tailrace_1_documents ORDER BY id').all().map(({ id, document }) => [id, document])).toEqual([
      ['a', '{"t":"amber"}'],
      ['b', '{"t":"basalt"}'],
      ['c', null],
      [longId, '{"t":"cedar"}'],
    ]);
    db.close();
    expect(inspect(folder.file)).toBe(3);
  });

  test('but two operations for one id in a batch are a defect, and nothing of the batch is written', async () => {
    using folder = temporaryFolder();
    await using target = folder.target();
    const generation = await target.open(plan('things'), signal);
    await expect(generation.apply(batchOf(2, put('b', 1n), put('a', 1n), put('a', 2n)), signal)).rejects.toMatchObject({ code: 'INVARIANT' });
    expect(await generation.cursor()).toBeNull();
    expect((await generation.stats()).documents).toBe(0);
  });
});
