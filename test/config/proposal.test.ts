/** What `tailrace init` proposes, whatever a database calls its tables and columns. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ColumnKind, ColumnSchema } from '../../src/change/schema.ts';
import { loadConfig } from '../../src/config/load.ts';
import { parseTableReference, quoteTableReference } from '../../src/config/names.ts';
import { configText, scalar } from '../../src/config/proposal-text.ts';
import { plain, propose, type Proposal } from '../../src/config/proposal.ts';
import type { Finding } from '../../src/connector/finding.ts';
import type { SurveyedTable } from '../../src/connector/survey.ts';
import { parseYaml } from '../../src/config/yaml-text.ts';
import { connectors, schema } from './connectors.ts';

const column = (name: string, kind: ColumnKind = 'text', keyOrdinal = 0): ColumnSchema => ({ name, kind, sourceType: kind === 'bytes' ? 'bytea' : kind, nullable: true, keyOrdinal, decoding: {} });

function table(name: string, more: Partial<SurveyedTable> = {}, columns: readonly ColumnSchema[] = [column('id', 'int', 1), column('name')]): SurveyedTable {
  const full = { schema: 'public', name, ...more };
  return { estimatedRows: 3, findings: [], shape: { table: `${full.schema}.${full.name}`, format: 'postgres/1', columns }, ...full };
}

const names = (...tables: readonly SurveyedTable[]): string[] => propose(tables, connectors.targets.sqlite.nameProblem).indices.map(({ index }) => index);

const text = (proposal: Proposal): string => configText({ source: { name: 'shop', settings: { type: 'postgres', url: '!env SHOP_URL' } }, target: null, proposal });
const load = async (written: string): ReturnType<typeof loadConfig> => loadConfig({ text: written, path: '/tailrace.yaml', schema, secrets: { environment: () => 'postgres://u@h/d', readFile: async () => Promise.resolve('') } });

describe('names of indices', () => {
  test('are those of the tables as far as they go, else with the schema, else with a number', () => {
    expect(names(table('orders'), table('OrderLines'), table('Straßen Café'), table('42'), table('x-g0001'))).toEqual(['orders', 'order_lines', 'stra_en_cafe', 'table', 'x_g0001']);
    expect(names(table('t'), table('t', { schema: 'sales' }), table('T', { schema: 'Sales' }), table('T', { schema: 'SALES' }))).toEqual(['t', 'sales_t', 'sales_t_2', 'sales_t_3']);
    expect(names(table('a'), table('a_text'), table('sqlite_x'))).toEqual(['a', 'public_a_text', 'public_sqlite_x']);
    expect(names(table('a', { schema: 'sqlite_b' }), table('a', { schema: 'sqlite_c' }), table('sqlite_a', { schema: 'sqlite_d' }))).toEqual(['a', 'a_2', 'table_2']);
    expect(names(...[1, 2, 3].map((n) => table(`${'x'.repeat(60)}${n}`)))).toEqual(['x'.repeat(48), `public_${'x'.repeat(41)}`, `public_${'x'.repeat(39)}_2`]);
  });

  test('have no letter that a name may not have', () => {
    expect([plain('表'), plain('表', 'source'), plain('__a__'), plain('9lives')]).toEqual(['table', 'source', 'a', 'lives']);
  });
});

describe('fields', () => {
  const leftOut = (...columns: readonly ColumnSchema[]): string[] | undefined => propose([table('t', {}, columns)]).indices[0]?.leftOut.map((one) => one.column);

  test('that hold bytes, or by their name a secret, are left out, unless they are the key', () => {
    expect(leftOut(column('id', 'bytes', 1), column('photo', 'bytes'), column('name'))).toEqual(['photo']);
    const secret = ['password', 'passwordHash', 'user_pwd', 'api_key', 'ApiKeys', 'reset_token', 'client_secret', 'salt', 'otp'];
    expect(leftOut(...secret.map((name) => column(name)))).toEqual(secret);
    expect(leftOut(...['tokenizer', 'salted_caramel', 'secretary', 'compass', 'key', 'hash'].map((name) => column(name)))).toEqual([]);
  });

  test('of text are searched, those of the key are not', () => {
    const [index] = propose([table('t', {}, [column('sku', 'text', 1), column('title'), column('kind', 'enum'), column('token'), column('doc', 'json')])]).indices;
    expect(index?.textFields).toEqual(['title']);
  });
});

test('a table with a problem is told of with what mends it, and cannot be taken for an index', async () => {
  const problem: Finding = { level: 'problem', subject: 'table public.events', message: 'it has\nno identity', code: 'SRC_NO_IDENTITY', fix: 'ALTER TABLE events\nREPLICA IDENTITY FULL;' };
  const proposal = propose([table('events', { findings: [problem], shape: null }), table('t', { findings: [{ ...problem, level: 'warning' }] }), ...Array.from({ length: 30 }, (_, i) => table(`e${i}`, { findings: [problem] }))]);
  expect(proposal.indices.map(({ index }) => index)).toEqual(['t']);
  const written = text(proposal);
  expect(written).toContain('  # public.events: it has\n  # no identity\n  #   ALTER TABLE events\n  # REPLICA IDENTITY FULL;\n  # then events: { from: shop.public.events }\n');
  expect(written).toContain('  # ! it has\n  # no identity\n  t: { from: shop.public.t, text_fields: [name] }\n');
  expect(written).toContain('  # 11 more tables cannot be indexed as they are.\n');
  expect((await load(written)).indices.map(({ name }) => name)).toEqual(['t']);
});

test('the text of YAML is what it stands for', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('true', 'NO', '~', '', '1', '1e3', '- a', 'a: b', '#x', '!env X', "it's", '\u0085', '\u2028', '\uFEFF', '.', 'a.b')), (value) => {
      const parsed = parseYaml(`{ ${scalar(value)}: [${scalar(value)}] }`);
      expect('tree' in parsed && parsed.tree).toEqual({ [value]: [value] });
    }),
    { examples: [['__proto__x']] },
  );
});

const name = fc.oneof(fc.string({ unit: 'binary', minLength: 1, maxLength: 12 }), fc.constantFrom('a', 'b', 'A', 'a.b', '"', 'order lines', 'true', 'x'.repeat(63), '\n', 'sqlite_a', 'a_text', '表')).filter((one) => !one.includes('\0') && one.isWellFormed());

test('any reference to a table is read back', () => {
  fc.assert(
    fc.property(name, name, (one, other) => {
      expect(parseTableReference(quoteTableReference('shop', one, other))).toEqual({ source: 'shop', table: `${one}.${other}` });
    }),
  );
});

test('whatever tables and columns are called, what is proposed can be loaded and names what it means', async () => {
  const columns = fc.uniqueArray(fc.tuple(name, fc.constantFrom<ColumnKind>('text', 'bytes', 'int')), { selector: ([one]) => one, minLength: 1, maxLength: 5 });
  const tables = fc.uniqueArray(fc.record({ schema: name, name, columns }), { selector: (one) => `${one.schema}.${one.name}`, minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(tables, async (some) => {
      const surveyed = some.map((one) => table(one.name, { schema: one.schema }, one.columns.map(([columnName, kind], i) => column(columnName, kind, i === 0 ? 1 : 0))));
      const proposal = propose(surveyed, connectors.targets.sqlite.nameProblem);
      const { indices } = await load(text(proposal));
      expect(indices.map(({ from }) => from)).toEqual(surveyed.map((one) => ({ source: 'shop', table: `${one.schema}.${one.name}` })));
      for (const [i, index] of indices.entries()) {
        const proposed = proposal.indices[i];
        expect(index.text_fields ?? []).toEqual(proposed?.textFields);
        expect((index.fields ?? []).filter(({ kind }) => kind === 'omit').map((rule) => ('name' in rule ? rule.name : '')).toSorted()).toEqual(proposed?.leftOut.map((one) => one.column).toSorted());
      }
    }),
    { numRuns: 300 },
  );
});
