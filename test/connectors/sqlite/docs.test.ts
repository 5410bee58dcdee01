import { readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { sqliteTarget } from '../../../connectors/targets/sqlite/index.ts';
import type { FieldPlan } from '../../../src/connector/target.ts';
import { batchOf, put } from '../../contract/target-fixture.ts';
import { plan, temporaryFolder } from './folder.ts';

const { signal } = new AbortController();
const guide = readFileSync(new URL('../../../docs/targets/sqlite.md', import.meta.url), 'utf8');

const fields: FieldPlan[] = [
  { name: 'id', kind: 'int' },
  { name: 'name', kind: 'text' },
  { name: 'price', kind: 'decimal' },
  { name: 'tags', kind: 'array' },
  { name: 'address', kind: 'json' },
];

test('every statement of the guide runs on an index, and finds something', async () => {
  using folder = temporaryFolder();
  await using target = folder.target();
  const generation = await target.open(plan('products', fields), signal);
  await generation.promote(signal);
  await generation.apply(batchOf(1, put('42', 1n, { name: 'Red shoe', price: 12, tags: ['summer', 'canvas', 'red shoes'], address: { city: 'Oslo' } })), signal);
  const db = new DatabaseSync(folder.file, { readOnly: true });
  const statements = [...guide.matchAll(/```sql\n([^`]+)```/g)].map(([, sql]) => sql ?? '');
  expect(statements.length).toBeGreaterThan(4);
  for (const sql of statements) expect(db.prepare(sql).all(), sql).toHaveLength(1);
  db.close();
});

test('the guide names every setting with its default', () => {
  const defaults = sqliteTarget.configSchema.parse({ type: 'sqlite' });
  for (const [name, value] of Object.entries(defaults.text)) expect(guide).toContain(`| \`text.${name}\` | \`${value}\` |`);
  expect(Object.keys(sqliteTarget.configSchema.shape)).toEqual(['type', 'path', 'text']);
  expect(guide).toContain('| `path` | `search.db` |');
});
