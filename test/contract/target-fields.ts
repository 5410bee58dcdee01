/** The target contract, fields: those that come later are prepared, and one that cannot change stops nothing else. */
import { expect, test } from 'vitest';
import type { FieldPlan } from '../../src/connector/target.ts';
import { batchOf, eventually, index, outcomes, planOf, put, scanned, signal, versions, type Run, type TargetFixture } from './target-fixture.ts';

const colour: FieldPlan = { name: 'colour', kind: 'text' };

export function testPreparing(run: Run, factory: () => Promise<TargetFixture>): void {
  test(
    'the next document may have a field that was prepared, and preparing it again changes nothing',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(1, put('a', 1n, { text: 'amber' })));
      await generation.prepare([], signal);
      for (let i = 0; i < 3; i += 1) await generation.prepare([colour, { name: 'seq', kind: 'int' }], signal);
      expect(await outcomes(generation, batchOf(3, put('b', 2n, { colour: 'crimson', seq: 7 }), put('a', 3n, { colour: 'teal' })))).toEqual(['applied', 'applied']);
      expect((await target.fetch(index, ['b'], signal)).map((one) => JSON.parse(one?.document ?? 'null') as unknown)).toEqual([{ id: 'b', colour: 'crimson', seq: 7 }]);
      await eventually(async () => expect((await target.search({ index, text: 'crimson', limit: 5 }, signal)).map(({ id }) => id)).toEqual(['b']));
    }),
  );

  test(
    'fields of every kind are prepared at once',
    run(async ({ target, generation }) => {
      const kinds = ['boolean', 'int', 'bigint', 'decimal', 'float', 'text', 'uuid', 'date', 'time', 'timestamp', 'timestamptz', 'interval', 'json', 'bytes', 'enum', 'ip', 'geometry', 'array', 'object', 'other'] as const;
      await generation.prepare(kinds.map((kind) => ({ name: `a_${kind}`, kind })), signal);
      const document = {
        a_boolean: true, a_int: 1, a_decimal: '1.50', a_float: 2.5, a_text: 'amber', a_uuid: '0b0c6bd3-6a3c-4b48-9a55-0f1f0f3a9d11', a_date: '2026-11-22', a_time: '10:11:12.123456', a_timestamp: '2026-11-22T10:11:12.123456', a_timestamptz: '2026-11-22T10:11:12.123456Z', a_interval: 'P1DT2H', a_json: { free: [1, 'two', { three: 4 }] }, a_bytes: 'AAEC', a_enum: 'red', a_ip: '10.0.0.0/8', a_geometry: 'POINT(1 2)', a_array: ['x', 'y'], a_object: { lower: 1, upper: 5 }, a_other: '<a/>',
      };
      const exact = `{"id":"a",${JSON.stringify(document).slice(1, -1)},"a_bigint":9223372036854775807}`;
      expect(await outcomes(generation, batchOf(1, { kind: 'put', id: 'a', version: 1n, document: exact }))).toEqual(['applied']);
      expect((await target.fetch(index, ['a'], signal))[0]?.document).toContain('9223372036854775807');
      const nothing = Object.fromEntries(kinds.map((kind) => [`a_${kind}`, null]));
      expect(await outcomes(generation, batchOf(2, put('b', 2n, nothing)))).toEqual(['applied']);
    }),
  );

  test(
    'fields are prepared while batches are under way',
    run(async ({ generation }) => {
      const ids = Array.from({ length: 600 }, (_, i) => `k${i}`);
      const writing = (async () => {
        for (let from = 0; from < ids.length; from += 60) await outcomes(generation, batchOf(from, ...ids.slice(from, from + 60).map((id) => put(id, 1n, { text: 'amber' }))));
      })();
      for (let i = 0; i < 5; i += 1) await generation.prepare([{ name: `later_${i}`, kind: 'text' }], signal);
      await writing;
      expect(await outcomes(generation, batchOf(700, put('last', 2n, { later_0: 'x', later_4: 'y' })))).toEqual(['applied']);
      expect((await scanned(generation)).map(({ id }) => id)).toEqual([...ids, 'last'].toSorted());
    }),
  );

  test('what was prepared is there when the generation is opened again', async () => {
    await using fixture = await factory();
    {
      await using target = await fixture.connect();
      await using generation = await target.open(planOf(index), signal);
      await generation.promote(signal);
      await generation.prepare([colour], signal);
    }
    await using target = await fixture.connect();
    await using generation = await target.open(planOf(index), signal);
    expect(await outcomes(generation, batchOf(1, put('a', 1n, { colour: 'crimson' })))).toEqual(['applied']);
    await generation.prepare([colour], signal);
    expect(await versions(target, index, ['a'])).toEqual([1n]);
  });

  test('a field that cannot become another kind is refused with TGT_MAPPING, everything else goes on, and another generation takes it', async (context) => {
    await run(async ({ fixture: { changedField }, target, generation }) => {
      if (changedField === undefined) return context.skip('this target takes any field as any kind');
      const { before, after } = changedField;
      await generation.prepare([before, colour], signal);
      await expect(generation.prepare([after], signal)).rejects.toMatchObject({ code: 'TGT_MAPPING', message: expect.stringContaining(before.name) as unknown });
      await generation.prepare([before, colour], signal);
      expect(await outcomes(generation, batchOf(1, put('a', 1n, { colour: 'crimson' })))).toEqual(['applied']);
      await using second = await target.open(planOf(index, { generation: 2, fields: [after] }), signal);
      await second.prepare([after], signal);
      expect(await outcomes(second, batchOf(1, put('a', 1n)))).toEqual(['applied']);
    })();
  });
}
