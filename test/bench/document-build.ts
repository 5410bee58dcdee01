/**
 * What building a document costs on top of decoding its row: values are handed out ready, so that only the engine's part is measured.
 * Beside it, in the same run, `JSON.stringify` of an object with the same fields. Both are
 * written into a buffer as UTF-8.
 */
import { Decimal, RawJson, type Value } from '../../src/change/value.ts';
import type { ColumnKind, RowSchema } from '../../src/change/schema.ts';
import type { FieldRule, IndexDefinition } from '../../src/config/index-settings.ts';
import { createDocumentBuilder } from '../../src/document/builder.ts';
import type { DocumentTransform } from '../../src/document/transform.ts';
import { median, printRows } from './measure.ts';

const ROWS = 200_000;
const RUNS = 7;
const BAR_MICROSECONDS = 1.5;

const columns: readonly (readonly [string, ColumnKind, (i: number) => Value])[] = [
  ['id', 'bigint', (i) => i + 1],
  ['sku', 'text', (i) => `SKU-${(i * 7919) % 1_000_000}`],
  ['title', 'text', (i) => `Walnut desk with two drawers and a shelf, no. ${i % 1000}`],
  ['description', 'text', (i) => `Solid walnut, oiled by hand. Legs of black steel, ${i % 40} kg. Assembled in a quarter of an hour; all tools are in the box.`],
  ['price', 'decimal', (i) => new Decimal(`${100 + (i % 900)}.90`)],
  ['stock', 'int', (i) => i % 250],
  ['active', 'boolean', (i) => i % 9 !== 0],
  ['attributes', 'json', (i) => new RawJson(`{"colour":"walnut","width_cm":${i % 200}}`)],
];

const schema: RowSchema = {
  id: 1,
  source: 'shop',
  table: 'public.products',
  format: 'bench/1',
  columns: columns.map(([name, kind]) => ({ name, kind, sourceType: kind, nullable: name !== 'id', keyOrdinal: name === 'id' ? 1 : 0, decoding: {} })),
};

const rows = Array.from({ length: 1000 }, (_, i) => columns.map(([, , value]) => value(i)));
const objects = rows.map((values) => Object.fromEntries(columns.map(([name, kind], i) => [name, plain(kind, values[i] as Value)])));
const handles = rows.map((_, i) => Buffer.from([i >> 8, i & 0xff]));

function plain(kind: ColumnKind, value: Value): unknown {
  if (value instanceof Decimal) return Number(value.digits);
  return value instanceof RawJson && kind === 'json' ? JSON.parse(value.text) : value;
}

const format = {
  name: 'bench/1',
  decoder: (_schema: RowSchema, names: readonly string[]) => {
    const projected = rows.map((values) => names.map((name) => values[columns.findIndex(([column]) => column === name)] as Value));
    return { decode: (row: Uint8Array): Value[] => projected[((row[0] as number) << 8) | (row[1] as number)] as Value[] };
  },
};

function definition(more: Partial<IndexDefinition>): IndexDefinition {
  return {
    name: 'products',
    from: { source: 'shop', table: 'public.products' },
    to: 'search',
    on_error: 'dead_letter',
    max_dead_letters: 0,
    max_document_bytes: 1 << 24,
    rollback_hours: 24,
    verify: { before_swap: false, repair: false },
    batch: { max_operations: 1000, max_bytes: 1 << 22, max_in_flight: 1 },
    ...more,
  };
}

/** Microseconds for one row, the median of several runs. */
function microseconds(work: (i: number) => number): number {
  const runs: number[] = [];
  for (let run = 0; run <= RUNS; run += 1) {
    let bytes = 0;
    const start = performance.now();
    for (let i = 0; i < ROWS; i += 1) bytes += work(i % rows.length);
    const elapsed = performance.now() - start;
    if (bytes === 0) throw new Error('nothing was built');
    if (run > 0) runs.push((elapsed * 1000) / ROWS);
  }
  return median(runs);
}

const scratch = Buffer.alloc(64 * 1024);

/** Writes the text as a target would: a string that was put together of pieces is only now made one. */
function written(json: string): number {
  return scratch.write(json);
}

function building(more: Partial<IndexDefinition>, transform?: DocumentTransform): number {
  const builder = createDocumentBuilder(definition(more), { format, transform }).forSchema(schema);
  return microseconds((i) => {
    const built = builder.build(handles[i] as Buffer);
    return built.kind === 'document' ? written(built.json) : 1;
  });
}

const computed: readonly FieldRule[] = [
  { kind: 'all' },
  { kind: 'expression', name: 'gross', expression: 'round(price * 1.19, 2)' },
  { kind: 'expression', name: 'label', expression: 'sku + ": " + title' },
];
const transform: DocumentTransform = { path: 'bench.ts', contentHash: '', apply: (document) => ({ ...document, label: `${String(document['sku'])}: ${String(document['title'])}` }) };

const ceiling = microseconds((i) => written(JSON.stringify(objects[i])));
const row = (what: string, value: number, bar = ''): { what: string; value: string; ceiling: string; ratio: number; bar: string } => ({ what, value: `${value.toFixed(2)} µs`, ceiling: `${ceiling.toFixed(2)} µs`, ratio: ceiling / value, bar });
printRows(`Documents of 8 columns, ${JSON.stringify(objects[0]).length} bytes, values decoded beforehand; ceiling: JSON.stringify of a ready object`, [
  row('all columns', building({}), `at most ${BAR_MICROSECONDS} µs`),
  row('`where: active && stock > 10`', building({ where: 'active && stock > 10' })),
  row('two computed fields', building({ fields: computed })),
  row('a transform module', building({ transform: 'bench.ts' }, transform)),
]);
