import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from 'vitest';
import type { TextOptions } from '../../../connectors/targets/sqlite/text.ts';
import type { FieldPlan } from '../../../src/connector/target.ts';
import { batchOf, put } from '../../contract/target-fixture.ts';
import { defaultText, plan, temporaryFolder } from './folder.ts';
import { inspect } from './inspect.ts';

const { signal } = new AbortController();

/** Puts the documents, a text `=12.50` in them as the number 12.50, and looks. */
async function searched(documents: Readonly<Record<string, Readonly<Record<string, unknown>>>>, fields: readonly FieldPlan[], text: TextOptions, look: (find: (text: string) => Promise<string[]>) => Promise<void>): Promise<void> {
  using folder = temporaryFolder();
  {
    await using target = folder.target({ text });
    const generation = await target.open(plan('things', fields), signal);
    await generation.promote(signal);
    await generation.apply(batchOf(1, ...Object.entries(documents).map(([id, document]) => ({ kind: 'put' as const, id, version: 1n, document: JSON.stringify(document).replaceAll(/"=([\d.]+)"/g, '$1') }))), signal);
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

  test('is searched only in the fields that the config names, whatever they hold', () =>
    searched(
      {
        a: { name: 'Amber lamp', secret: 'cobalt', tags: ['brass', { in: 'depth' }], part: '=1234567890123456789012', price: '=12.50', uuid: 'deadbeef-0000', live: true, later: 'verdigris', 'odd "name" \u00e9': 'quartz', none: null },
        b: { name: null, secret: 'amber', tags: 'brass', price: '=0.05', 'odd "name" \u00e9': ['deep', 'quartz'] },
        c: {},
      },
      [
        ...['name', 'tags', 'part', 'price', 'uuid', 'live', 'odd "name" \u00e9', 'none', 'absent'].map((name): FieldPlan => ({ name, kind: 'other', searched: true })),
        { name: 'secret', kind: 'text', searched: false },
      ],
      defaultText,
      async (find) => {
        for (const word of ['amber', 'depth', '1234567890123456789012', '12.50', 'deadbeef', 'true', 'name:amber', 'part:1234567890123456789012', 'price:12.50']) expect(await find(word), word).toEqual(['a']);
        expect(await find('brass')).toEqual(['a', 'b']);
        expect(await find('quartz')).toEqual(['a', 'b']);
        expect(await find('deep')).toEqual(['b']);
        expect(await find('0.05')).toEqual(['b']);
        for (const hidden of ['cobalt', 'verdigris', 'null', 'in', '12.5', 'secret:amber']) expect(await find(hidden), hidden).toEqual([]);
      },
    ));

  test('of more named fields than there are columns is searched together', () => {
    const names = Array.from({ length: 70 }, (_, i) => `f${i}`);
    const document = Object.fromEntries([...names, 'hidden'].map((name) => [name, `in${name}`]));
    return searched({ a: { ...document, f69: 7 }, b: { f68: ['x', 'inf0'] } }, names.map((name) => ({ name, kind: 'text', searched: true })), defaultText, async (find) => {
      for (const name of ['f1', 'f63', 'f64', 'f67']) expect(await find(`in${name}`), name).toEqual(['a']);
      expect(await find('inf0')).toEqual(['a', 'b']);
      expect(await find('7')).toEqual(['a']);
      expect(await find('inhidden')).toEqual([]);
    });
  });

  test('is no text at all where every field is left out', () =>
    searched({ a: { name: 'amber', other: 'basalt' } }, [{ name: 'name', kind: 'text', searched: false }], defaultText, async (find) => {
      for (const word of ['amber', 'basalt']) expect(await find(word)).toEqual([]);
    }));

  test('that is no JSON is refused also where nothing of it is searched', async () => {
    using folder = temporaryFolder();
    await using target = folder.target();
    const generation = await target.open(plan('things', [{ name: 'name', kind: 'text', searched: false }]), signal);
    const results = await generation.apply(batchOf(2, { kind: 'put', id: 'bad', version: 1n, document: '{"a":' }, put('good', 2n)), signal);
    expect(results).toMatchObject([{ outcome: 'poison', code: 'TGT_REJECTED' }, { outcome: 'applied' }]);
  });

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
