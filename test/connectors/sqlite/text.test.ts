import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from 'vitest';
import type { TextOptions } from '../../../connectors/targets/sqlite/text.ts';
import type { FieldPlan } from '../../../src/connector/target.ts';
import { batchOf, put } from '../../contract/target-fixture.ts';
import { defaultText, plan, temporaryFolder } from './folder.ts';
import { inspect } from './inspect.ts';

const { signal } = new AbortController();

async function searched(documents: Readonly<Record<string, Readonly<Record<string, unknown>>>>, fields: readonly FieldPlan[], text: TextOptions, look: (find: (text: string) => Promise<string[]>) => Promise<void>): Promise<void> {
  using folder = temporaryFolder();
  {
    await using target = folder.target({ text });
    const generation = await target.open(plan('things', fields), signal);
    await generation.promote(signal);
    await generation.apply(batchOf(1, ...Object.entries(documents).map(([id, document]) => put(id, 1n, document))), signal);
    await look(async (typed) => (await target.search({ index: 'things', text: typed, limit: 10 }, signal)).map(({ id }) => id).toSorted());
  }
  inspect(folder.file);
}

const fields: FieldPlan[] = [
  { name: 'name', kind: 'text' },
  { name: 'details', kind: 'json' },
  { name: 'tags', kind: 'array' },
  { name: 'price', kind: 'decimal' },
  { name: 'made', kind: 'date' },
  { name: 'uuid', kind: 'uuid' },
];

describe('the text of a document', () => {
  test('is found in its field, at any depth, and fields that are not known beforehand are searched together', () =>
    searched(
      {
        a: { name: 'Amber lamp', details: { size: { label: 'Tall', cm: 120 }, notes: ['For reading', { by: 'the window' }] }, tags: ['brass', 'lamp'], price: 12, later: { colour: 'Verdigris' } },
        b: { name: 'Brass plate', details: 'plain', tags: [], made: '2026-11-22', uuid: 'deadbeef-0000-4000-8000-000000000000' },
      },
      fields,
      defaultText,
      async (find) => {
        expect(await find('amber')).toEqual(['a']);
        expect(await find('brass')).toEqual(['a', 'b']);
        expect(await find('name:brass')).toEqual(['b']);
        expect(await find('tags:brass')).toEqual(['a']);
        expect(await find('tall window')).toEqual(['a']);
        expect(await find('details:"for reading"')).toEqual(['a']);
        expect(await find('details:plain')).toEqual(['b']);
        expect(await find('verdigris')).toEqual(['a']);
        expect(await find('verdi*')).toEqual(['a']);
        for (const noText of ['120', '2026', 'deadbeef', 'label', 'colour']) expect(await find(noText), noText).toEqual([]);
      },
    ));

  test('of an open document is all the text in it', () =>
    searched({ a: { x: { y: [{ z: 'deep water' }] }, w: 'shallow', n: 7 }, b: {} }, [], defaultText, async (find) => {
      expect(await find('deep shallow')).toEqual(['a']);
      expect(await find('"deep water"')).toEqual(['a']);
      expect(await find('7')).toEqual([]);
    }));

  test('survives NUL, half of a surrogate pair and every escape', () =>
    searched({ a: { name: 'before\0after', tags: ['one\0two', 'half \ud800 pair'], other: 'line\nbreak "quoted" back\\slash' } }, fields, defaultText, async (find) => {
      for (const word of ['before', 'after', 'one', 'two', 'half', 'pair', 'line', 'break', 'quoted', 'slash']) expect(await find(word), word).toEqual(['a']);
    }));

  test('is told apart by the tokenizer of the configuration', async () => {
    const documents = { a: { name: 'Über running' }, b: { name: 'uber runs' }, c: { name: '東京都庁' } };
    await searched(documents, fields, defaultText, async (find) => {
      expect(await find('uber')).toEqual(['a', 'b']);
      expect(await find('run')).toEqual([]);
    });
    await searched(documents, fields, { tokenizer: 'unicode61', removeDiacritics: false }, async (find) => expect(await find('uber')).toEqual(['b']));
    await searched(documents, fields, { tokenizer: 'porter', removeDiacritics: true }, async (find) => expect(await find('run')).toEqual(['a', 'b']));
    await searched(documents, fields, { tokenizer: 'trigram', removeDiacritics: true }, async (find) => {
      expect(await find('unnin')).toEqual(['a']);
      expect(await find('京都庁')).toEqual(['c']);
    });
  });

  test('is indexed by another tokenizer only in a generation of its own', async () => {
    using folder = temporaryFolder();
    {
      await using target = folder.target();
      await target.open(plan('things', fields), signal);
    }
    await using target = folder.target({ text: { tokenizer: 'porter', removeDiacritics: true } });
    await expect(target.open(plan('things', fields), signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY', message: expect.stringContaining('porter') as unknown });
    await target.open(plan('things', fields, 2), signal);
  });

  test('is not indexed again when an update leaves it as it was', async () => {
    using folder = temporaryFolder();
    await using target = folder.target();
    const generation = await target.open(plan('things', fields), signal);
    await generation.promote(signal);
    const index = (): unknown => {
      const db = new DatabaseSync(folder.file, { readOnly: true });
      const blocks = db.prepare('SELECT id, hex(block) AS block FROM tailrace_1_text_data ORDER BY id').all();
      db.close();
      return blocks.map((block) => ({ ...block }));
    };
    await generation.apply(batchOf(1, put('a', 1n, { name: 'Amber', tags: ['x'], price: 1, later: 'on' })), signal);
    const before = index();
    await generation.apply(batchOf(2, put('a', 2n, { name: 'Amber', tags: ['x'], price: 2, made: '2026-01-01', later: 'on' })), signal);
    expect(index()).toEqual(before);
    for (const changed of [{ name: 'Amber', tags: ['y'], later: 'on' }, { name: 'Amber', tags: ['y'], later: 'off' }, { name: 'Amber', tags: ['y'] }]) {
      const last = index();
      await generation.apply(batchOf(3, put('a', BigInt(3 + Math.round(performance.now() * 1000)), changed)), signal);
      expect(index(), JSON.stringify(changed)).not.toEqual(last);
    }
    expect(JSON.parse((await target.fetch('things', ['a'], signal))[0]?.document ?? '')).toEqual({ id: 'a', name: 'Amber', tags: ['y'] });
  });
});
