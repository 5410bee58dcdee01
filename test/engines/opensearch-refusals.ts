/** What a real server refuses, document by document or as a whole, and that nothing else suffers from it. */
import { expect, test } from 'vitest';
import type { FieldPlan, Operation } from '../../src/connector/target.ts';
import { batchOf, del, index, outcomes, planOf, put, scanned, signal, versions } from '../contract/target-fixture.ts';
import { history, TargetModel } from '../contract/target-history.ts';
import { expectExactly, faultScene, load, physical } from './opensearch-fault-scene.ts';
import type { OpenSearchSuite } from './opensearch.ts';

const many = (count: number, make: (i: number) => FieldPlan): FieldPlan[] => Array.from({ length: count }, (_, i) => make(i));

/** The node must take no request of more than 1 MB. */
export function testRefusedDocuments({ server }: OpenSearchSuite): void {
  const flag: FieldPlan = { name: 'flag', kind: 'boolean' };

  test('a document that does not fit its mapping, has a field that no mapping has, or an id that no server takes is refused at its place, and no other', async () => {
    await using scene = await faultScene(await server(), {}, planOf(index, { fields: [flag] }));
    const { generation, target } = scene;
    const bad = new Map<number, Operation>([
      [0, put('conflict', 1n, { flag: 'perhaps' })],
      [17, put('strict', 1n, { undeclared: 1 })],
      [18, put('', 1n)],
      [19, put('half \u{d800}', 1n)],
      [55, put('x'.repeat(513), 1n)],
      [90, { kind: 'put', id: 'no json', version: 1n, document: '{"id":"no json",' }],
      [199, put('nested', 1n, { flag: { is: true } })],
    ]);
    await outcomes(generation, batchOf(1, put('k60', 9n), put('k61', 1n)));
    const operations = Array.from({ length: 200 }, (_, i): Operation => bad.get(i) ?? (i === 61 ? del('k61', 5n) : put(`k${i}`, 5n, { flag: i % 2 === 0 })));
    const expected = operations.map((_, i) => (bad.has(i) ? 'poison' : i === 60 ? 'stale' : 'applied'));
    const results = await generation.apply(batchOf(5, ...operations), signal);
    expect(results.map(({ outcome }) => outcome)).toEqual(expected);
    for (const result of results) if (result.outcome === 'poison') expect(result).toMatchObject({ code: 'TGT_REJECTED', reason: expect.not.stringContaining('perhaps') as unknown });
    expect(results[17]).toMatchObject({ reason: expect.stringContaining('undeclared') as unknown });
    const kept = operations.filter((_, i) => !bad.has(i) && i !== 61).map(({ id }) => id);
    expect((await scanned(generation)).map(({ id }) => id)).toEqual(kept.toSorted());
    expect(await versions(target, index, ['k60', 'k61', 'k62'])).toEqual([9n, null, 5n]);
    await generation.prepare([{ name: 'undeclared', kind: 'int' }], signal);
    expect(await outcomes(generation, batchOf(6, put('strict', 2n, { undeclared: 1 }), put('conflict', 2n, { flag: true })))).toEqual(['applied', 'applied']);
  });

  test('values too long, too large or of another form for their field are kept, and cost nothing', async () => {
    const fields: FieldPlan[] = [{ name: 'uuid', kind: 'uuid' }, { name: 'when', kind: 'timestamptz' }, { name: 'big', kind: 'bigint' }, { name: 'addr', kind: 'ip' }, { name: 'free', kind: 'json' }, { name: 'ratio', kind: 'float' }];
    await using scene = await faultScene(await server(), {}, planOf(index, { fields }));
    const long = 'x'.repeat(40_000);
    const documents = [
      { text: long, tags: [long], uuid: long },
      { when: 'infinity', addr: 'nowhere', ratio: 'NaN', n: 'twelve' },
      { when: '-004713-01-01T00:00:00Z', big: '123456789012345678901234567890' },
      { free: { deep: { er: { list: [{ a: 1 }, { a: 'x' }] } } } },
    ];
    expect(await outcomes(scene.generation, batchOf(1, ...documents.map((document, i) => put(`k${i}`, 1n, document))))).toEqual(documents.map(() => 'applied'));
    const held = await scene.target.fetch(index, ['k0', 'k1', 'k2', 'k3'], signal);
    expect(held.map((one) => JSON.parse(one?.document ?? 'null') as unknown)).toEqual(documents.map((document, i) => ({ id: `k${i}`, ...document })));
    expect(await outcomes(scene.generation, batchOf(2, put('long', 1n, { free: { long } })))).toEqual(['applied']);
  });

  test('a document nested deeper than a node survives is refused at its place, the node lives, and all others are applied', async () => {
    await using scene = await faultScene(await server(), {}, planOf(index, { fields: [{ name: 'free', kind: 'json' }] }));
    const { node, generation } = scene;
    const { pid } = node;
    // The document itself is a level.
    const nested = (levels: number): string => `{"id":"x","free":${'{"a":'.repeat(levels - 1)}1${'}'.repeat(levels - 1)}}`;
    const operations = [50, 20_000, 100, 2_000, 600].map((levels): Operation => ({ kind: 'put', id: `levels ${levels}`, version: 1n, document: nested(levels) }));
    expect(await outcomes(generation, batchOf(1, ...operations))).toEqual(['applied', 'poison', 'applied', 'poison', 'poison']);
    expect(node.pid).toBe(pid);
    expect((await scanned(generation)).map(({ id }) => id)).toEqual(['levels 100', 'levels 50']);
  });

  test('an id that tailrace uses itself in requests stands for a document like any other', async () => {
    await using scene = await faultScene(await server());
    const { generation, target } = scene;
    await outcomes(generation, batchOf(1, put('tailrace:guard', 7n, { n: 1 }), put('a', 1n)));
    expect(await outcomes(generation, batchOf(2, del('a', 2n)))).toEqual(['applied']);
    expect(await versions(target, index, ['tailrace:guard', 'a'])).toEqual([7n, null]);
    expect(await outcomes(generation, batchOf(3, put('tailrace:guard', 8n, { n: 2 }), del('b', 8n)))).toEqual(['applied', 'applied']);
    expect(await outcomes(generation, batchOf(4, del('tailrace:guard', 9n)))).toEqual(['applied']);
    expect(await scanned(generation)).toEqual([]);
  });

  test('more fields than the server takes by itself are taken, more than the config allows end with TGT_MAPPING, and the index goes on', async () => {
    await using scene = await faultScene(await server(), {}, planOf(index, { fields: many(900, (i) => ({ name: `f${i}`, kind: 'int' })) }));
    await scene.generation.prepare(many(600, (i) => ({ name: `later${i}`, kind: 'int' })), signal);
    expect(await outcomes(scene.generation, batchOf(1, put('a', 1n, { f899: 1, later599: 2 })))).toEqual(['applied']);
    await using limited = await scene.target.open(planOf('limited', { options: { settings: { 'mapping.total_fields.limit': 30 } } }), signal);
    await expect(limited.prepare(many(40, (i) => ({ name: `x${i}`, kind: 'int' })), signal)).rejects.toMatchObject({ code: 'TGT_MAPPING' });
    expect(await outcomes(limited, batchOf(1, put('a', 1n, { n: 1 })))).toEqual(['applied']);
    await using guessing = await scene.target.open(planOf('guessing', { options: { settings: { dynamic: true, 'mapping.total_fields.limit': 30 } } }), signal);
    const wide = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`y${i}`, i]));
    expect(await outcomes(guessing, batchOf(1, put('a', 1n), put('wide', 1n, wide), put('b', 1n, { y0: 1 })))).toEqual(['applied', 'poison', 'applied']);
  });

  test('requests larger than the server takes are sent in parts, and a document that is too large by itself is the only one that is refused', async () => {
    await using scene = await faultScene(await server());
    const text = 'amber '.repeat(4_000);
    const operations = Array.from({ length: 150 }, (_, i) => (i === 70 ? put('huge', 1n, { text: 'x'.repeat(3 * 2 ** 20) }) : put(`k${i}`, 1n, { text })));
    const results = await outcomes(scene.generation, batchOf(1, ...operations));
    const isTaken = results[70] === 'applied';
    expect(results).toEqual(operations.map((_, i) => (i === 70 ? results[70] : 'applied')));
    expect(['applied', 'poison']).toContain(results[70]);
    expect((await scanned(scene.generation)).map(({ id }) => id)).toEqual(operations.map(({ id }) => id).filter((id) => isTaken || id !== 'huge').toSorted());
    expect(scene.proxy.writes).toBeGreaterThan(3);
  });
}

export function testBlocks({ server }: OpenSearchSuite): void {
  test.each([
    ['flood stage', 'index.blocks.read_only_allow_delete'],
    ['read only', 'index.blocks.read_only'],
    ['no writes', 'index.blocks.write'],
  ])('an index that is blocked (%s) takes nothing, says so, and takes everything once the block is gone', async (_, setting) => {
    await using scene = await faultScene(await server());
    const { node, generation, target } = scene;
    await outcomes(generation, batchOf(1, put('a', 1n), put('b', 1n)));
    await node.ask('PUT', `/${physical}/_settings`, { [setting]: true });
    const batch = batchOf(2, put('a', 2n), del('b', 2n), put('c', 2n));
    await expect(generation.apply(batch, signal)).rejects.toMatchObject({ code: 'TGT_BLOCKED', hint: expect.stringMatching(/block|disk/i) as unknown });
    await expect(generation.apply(batchOf(2, del('b', 2n)), signal)).rejects.toMatchObject({ code: 'TGT_BLOCKED' });
    expect(await versions(target, index, ['a', 'b', 'c'])).toEqual([1n, 1n, null]);
    const model = new TargetModel({ capabilities: { atomicCursor: false } });
    model.apply(batchOf(1, put('a', 1n), put('b', 1n)));
    const loading = load(generation, [batch], model);
    await node.ask('PUT', `/${physical}/_settings`, { [setting]: null });
    await loading;
    await expectExactly(generation, ['a', 'b', 'c'], model);
  });

  test('a closed index is waited for, and goes on when it is open again', async () => {
    await using scene = await faultScene(await server());
    const { node, generation } = scene;
    const model = new TargetModel({ capabilities: { atomicCursor: false } });
    await load(generation, [batchOf(1, put('a', 1n))], model);
    await node.ask('POST', `/${physical}/_close`);
    await expect(generation.apply(batchOf(2, put('b', 2n)), signal)).rejects.toMatchObject({ code: 'TGT_BLOCKED' });
    // Readers know the alias only: which index is closed the server has to say.
    await expect(scene.target.search({ index, text: 'x', limit: 1 }, signal)).rejects.toMatchObject({ code: 'TGT_BLOCKED', hint: `Open the index: POST /${physical}/_open` });
    await node.ask('POST', `/${physical}/_open`);
    await load(generation, [batchOf(2, put('b', 2n), del('a', 2n))], model);
    await expectExactly(generation, ['a', 'b'], model);
  });

  test('a deleted index is missed and never made by a write, puts or deletes', async () => {
    await using scene = await faultScene(await server());
    const { node, generation } = scene;
    await outcomes(generation, batchOf(1, put('a', 1n)));
    await node.ask('DELETE', `/${physical}`);
    for (const batch of [batchOf(2, put('b', 2n)), batchOf(2, del('a', 2n)), batchOf(2, del('a', 2n), put('b', 2n)), { operations: [], clearBelow: 2n, cursor: 2 }]) {
      await expect(generation.apply(batch, signal)).rejects.toMatchObject({ code: 'TGT_MISSING' });
    }
    const works = [() => generation.sweep(9n, signal), () => generation.promote(signal), () => generation.remove(['a'], signal), () => scanned(generation), () => generation.prepare([{ name: 'new', kind: 'int' }], signal)];
    for (const work of works) await expect(work()).rejects.toMatchObject({ code: 'TGT_MISSING' });
    expect(await node.ask('GET', '/_cat/indices?format=json&h=index')).toEqual([]);
  });

  test('an index that somebody else made in the place of ours is not written to, not even by a new start, and stays as it is', async () => {
    await using scene = await faultScene(await server());
    const { node, generation, target } = scene;
    await outcomes(generation, batchOf(1, put('a', 1n)));
    await node.ask('DELETE', `/${physical}`);
    await node.ask('PUT', `/${physical}/_doc/theirs?refresh=true`, { their: 'document' });
    await expect(generation.apply(batchOf(2, put('a', 2n)), signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
    await expect(generation.apply(batchOf(2, del('theirs', 2n)), signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
    await expect(target.open(planOf(index), signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
    await target.drop(index, 1, signal);
    expect(await node.ask('GET', `/${physical}/_search?filter_path=hits.hits._id,hits.hits._source`)).toEqual({ hits: { hits: [{ _id: 'theirs', _source: { their: 'document' } }] } });
  });
}

export function testLongHistory({ server }: OpenSearchSuite): void {
  test('batches in which every tenth document is refused come to what the model says of the others', async () => {
    await using scene = await faultScene(await server());
    const ids = Array.from({ length: 200 }, (_, i) => `key ${i}`);
    const model = new TargetModel({ capabilities: { atomicCursor: false } });
    const batches = history({ seed: 7, ids, changesMax: 150, clears: false, forgetAfter: 0 }).take(25).toArray();
    const spoiled = batches.map((batch) => ({ ...batch, operations: batch.operations.map((one, i) => (i % 10 === 3 && one.kind === 'put' ? { ...one, document: JSON.stringify({ id: one.id, undeclared: true }) } : one)) }));
    const { failures, retries } = await load(scene.generation, spoiled, model);
    expect([failures, retries]).toEqual([[], 0]);
    await expectExactly(scene.generation, ids, model);
  });
}
