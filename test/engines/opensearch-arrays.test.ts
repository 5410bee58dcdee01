/** Arrays of every type, from a real Postgres to real servers: no row is parked for one, and what is in them is found by its kind. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AcceptanceScene, within } from './opensearch-acceptance-scene.ts';
import { allVersions, describeOpenSearch, startTimeoutMs, type OpenSearchServer } from './opensearch.ts';
import { startPostgres, type PostgresServer } from './postgres.ts';

interface ArrayColumn {
  readonly type: string;
  /** SQL of a value; the second row has it in two dimensions, the third an empty one. */
  readonly value: string;
  /** Type of the field. */
  readonly mapped: string;
  /** A query for one of the elements, on the field `f`. */
  readonly query?: Readonly<Record<string, unknown>>;
  /** A value that is no list, or a list of lists by itself, cannot be put into more dimensions. */
  readonly isFlat?: true;
}

const columns: readonly ArrayColumn[] = [
  { type: 'boolean[]', value: "'{t,NULL}'", mapped: 'boolean', query: { term: { f: true } } },
  { type: 'smallint[]', value: "'{1,NULL,-3}'", mapped: 'long', query: { range: { f: { lt: -2 } } } },
  { type: 'integer[]', value: "'{1,NULL,700}'", mapped: 'long', query: { range: { f: { gt: 600 } } } },
  { type: 'bigint[]', value: "'{9223372036854775807}'", mapped: 'long', query: { term: { f: '9223372036854775807' } } },
  { type: 'numeric[]', value: "'{1.10,NaN,-Infinity,123456789012345678901234567890}'", mapped: 'double', query: { range: { f: { gt: 1.05, lt: 1.15 } } } },
  { type: 'real[]', value: "'{0.5,NaN}'", mapped: 'double', query: { term: { f: 0.5 } } },
  { type: 'double precision[]', value: "'{0.25,Infinity}'", mapped: 'double', query: { range: { f: { lt: 0.3 } } } },
  { type: 'text[]', value: "'{amber stone,NULL,\"\"}'", mapped: 'text', query: { match: { f: 'stone' } } },
  { type: 'character varying(20)[]', value: "'{amber}'", mapped: 'text', query: { match: { f: 'amber' } } },
  { type: 'uuid[]', value: "'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'", mapped: 'keyword', query: { term: { f: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' } } },
  { type: 'date[]', value: "'{2026-02-28,infinity}'", mapped: 'date', query: { range: { f: { gte: '2026-02-28', lte: '2026-02-28' } } } },
  { type: 'time[]', value: "'{12:34:56}'", mapped: 'keyword', query: { term: { f: '12:34:56' } } },
  { type: 'timestamp[]', value: "'{2026-01-02 03:04:05.123456}'", mapped: 'date', query: { range: { f: { gte: '2026-01-02', lt: '2026-01-03' } } } },
  { type: 'timestamptz[]', value: "'{2026-01-02 03:04:05+00,-infinity}'", mapped: 'date', query: { range: { f: { gte: '2026-01-02', lt: '2026-01-03' } } } },
  { type: 'interval[]', value: "'{1 day}'", mapped: 'keyword', query: { exists: { field: 'f' } } },
  { type: 'json[]', value: `ARRAY['{"a":1}', '2', '"x"', '[1]', 'null']::json[]`, mapped: 'object' },
  { type: 'jsonb[]', value: `ARRAY['{"a":{"b":1}}', '{"a":"x"}', '3', NULL]::jsonb[]`, mapped: 'object' },
  { type: 'bytea[]', value: "ARRAY['\\x00ff'::bytea]", mapped: 'binary' },
  { type: 'mood[]', value: "'{sad}'", mapped: 'keyword', query: { term: { f: 'sad' } } },
  { type: 'inet[]', value: "'{10.0.0.1,10.0.0.0/8}'", mapped: 'ip', query: { term: { f: '10.0.0.1' } } },
  { type: 'cidr[]', value: "'{10.0.0.0/8}'", mapped: 'keyword', query: { term: { f: '10.0.0.0/8' } } },
  { type: 'pair[]', value: "ARRAY[ROW(1, 'x'), ROW(NULL, 'y')]::pair[]", mapped: 'object' },
  { type: 'int4range[]', value: "'{\"[1,5)\"}'", mapped: 'object' },
  { type: 'int4multirange', value: "'{[1,3),[7,)}'", mapped: 'object', isFlat: true },
  { type: 'int4multirange[]', value: "ARRAY['{[1,3)}']::int4multirange[]", mapped: 'object' },
  { type: 'point[]', value: "ARRAY[point(1,2)]", mapped: 'object' },
  { type: 'box[]', value: "'{(1,2),(0,0);(3,4),(1,1)}'", mapped: 'object' },
  { type: 'lseg', value: "'[(1,2),(3,4)]'", mapped: 'object', isFlat: true },
  { type: 'polygon', value: "'((1,2),(3,4),(5,6))'", mapped: 'object', isFlat: true },
  { type: 'int2vector', value: "'1 2 3'", mapped: 'long', query: { term: { f: 2 } }, isFlat: true },
  { type: 'hstore[]', value: "ARRAY['a=>1', 'b=>NULL']::hstore[]", mapped: 'object' },
  { type: 'words', value: "'{amber,NULL}'", mapped: 'text', query: { match: { f: 'amber' } } },
];
const named = columns.map((column, i) => ({ ...column, name: `c${i}` }));

const setup = `
  CREATE EXTENSION hstore; CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TYPE pair AS (a int, b text); CREATE DOMAIN words AS text[];
  CREATE TABLE listed (id int PRIMARY KEY, ${named.map(({ name, type }) => `${name} ${type}`).join(', ')});
  INSERT INTO listed VALUES (1, ${named.map(({ value, type }) => `(${value})::${type}`).join(', ')});
  INSERT INTO listed VALUES (2, ${named.map(({ value, type, isFlat }) => (isFlat === true ? `(${value})::${type}` : `array_cat(ARRAY[(${value})::${type === 'words' ? 'text[]' : type}], ARRAY[(${value})::${type === 'words' ? 'text[]' : type}])`)).join(', ')});
  INSERT INTO listed (id, ${named.filter(({ isFlat }) => isFlat !== true).map(({ name }) => name).join(', ')}) VALUES (3, ${named.filter(({ isFlat }) => isFlat !== true).map(() => "'{}'").join(', ')});
  INSERT INTO listed (id) VALUES (4);`;

describeOpenSearch(allVersions, (openSearch) => {
  let node: OpenSearchServer;
  let postgres: PostgresServer;

  beforeAll(async () => {
    [node, postgres] = await Promise.all([openSearch.server(), startPostgres({ major: 18 })]);
  }, startTimeoutMs);
  afterAll(async () => postgres[Symbol.asyncDispose]());

  const found = async (name: string, query: Readonly<Record<string, unknown>>): Promise<string[]> => {
    const text = JSON.stringify(query).replaceAll('"f"', `"${name}"`);
    const answer = (await node.ask('POST', '/listed/_search', `{"query":${text},"sort":["id"]}`)) as { readonly hits: { readonly hits: readonly { readonly _id: string }[] } };
    return answer.hits.hits.map(({ _id: id }) => id);
  };

  test('arrays of every type are taken, in several dimensions, empty and null, and their elements are found', async () => {
    await using scene = await AcceptanceScene.open(node, postgres);
    await scene.sql.query(setup);
    await using pipeline = await scene.start({ listed: { from: 'shop.public.listed' } });
    await pipeline.caughtUp(within());
    expect(pipeline.deadLetters({ index: 'listed', limit: 10 }).letters).toEqual([]);
    expect(Object.keys(await scene.documents('listed'))).toEqual(['1', '2', '3', '4']);
    const [mapping] = Object.values((await node.ask('GET', '/listed/_mapping')) as Record<string, { readonly mappings: { readonly properties: Record<string, { readonly type?: string }> } }>);
    const types = named.map(({ name, type }) => [type, mapping?.mappings.properties[name]?.type ?? 'object']);
    expect(types).toEqual(named.map(({ type, mapped }) => [type, mapped]));
    for (const { name, type, query } of named) if (query !== undefined) expect([type, await found(name, query)]).toEqual([type, ['1', '2']]);
    // What comes by the stream takes the same way as what a snapshot brings.
    await scene.sql.query('UPDATE listed SET id = id + 10; DELETE FROM listed WHERE id = 13');
    await pipeline.caughtUp(within());
    expect(Object.keys(await scene.documents('listed'))).toEqual(['11', '12', '14']);
    expect(pipeline.deadLetters({ index: 'listed', limit: 10 }).letters).toEqual([]);
  });

  test('arrays of objects are searched where the config says so, by their text or by their parts', async () => {
    await using scene = await AcceptanceScene.open(node, postgres);
    await scene.sql.query(`
      CREATE TYPE part AS (color text, size int);
      CREATE TABLE listed (id int PRIMARY KEY, free jsonb[], parts part[], kept jsonb[]);
      INSERT INTO listed VALUES (1, ARRAY['{"color":"amber","deep":{"er":"x"}}', '{"color":"red"}']::jsonb[], ARRAY[ROW('amber', 1), ROW('red', 2)]::part[], ARRAY['1', '{"a":1}']::jsonb[]), (2, '{}', NULL, ARRAY['"x"', '{"a":[]}']::jsonb[])`);
    const mapping = { parts: { type: 'nested', properties: { color: { type: 'keyword' }, size: { type: 'long' } } } };
    await using pipeline = await scene.start({ listed: { from: 'shop.public.listed', text_fields: ['free'], mapping } });
    await pipeline.caughtUp(within());
    expect(pipeline.deadLetters({ index: 'listed', limit: 10 }).letters).toEqual([]);
    await scene.documents('listed');
    const nested = (color: string, size: number): Readonly<Record<string, unknown>> => ({ nested: { path: 'parts', query: { bool: { filter: [{ term: { 'parts.color': color } }, { term: { 'parts.size': size } }] } } } });
    expect([await found('free', { term: { 'free.color': 'amber' } }), await found('parts', nested('red', 2)), await found('parts', nested('red', 1))]).toEqual([['1'], ['1'], []]);
    expect((await pipeline.search({ index: 'listed', text: 'amber', limit: 5 }, within())).map(({ id }) => id)).toEqual(['1']);
  });

  test('a column whose type becomes that of other elements makes another generation, and nobody is asked', async () => {
    await using scene = await AcceptanceScene.open(node, postgres);
    await scene.sql.query("CREATE TABLE listed (id int PRIMARY KEY, sizes int[]); INSERT INTO listed VALUES (1, '{1,2}')");
    await using pipeline = await scene.start({ listed: { from: 'shop.public.listed' } });
    await pipeline.caughtUp(within());
    await scene.sql.query("ALTER TABLE listed ALTER COLUMN sizes TYPE text[]; INSERT INTO listed VALUES (2, '{small}')");
    await expect.poll(async () => pipeline.status().indices[0]?.generation, { timeout: 60_000 }).toBe(2);
    await pipeline.caughtUp(within());
    expect(await scene.documents('listed')).toEqual({ 1: { id: 1, sizes: ['1', '2'] }, 2: { id: 2, sizes: ['small'] } });
    expect(await found('sizes', { match: { sizes: 'small' } })).toEqual(['2']);
  });
});
