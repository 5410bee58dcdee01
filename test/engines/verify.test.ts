/** Damage of a real SQLite index, beside a real Postgres that is written to: all of it is found, nothing else is, and all of it is mended. */
import { expect, test } from 'vitest';
import { describePostgres } from './postgres.ts';
import { eventually } from './servers.ts';
import { damages, idOf, SqliteHand, unreadable } from './verify-damage.ts';
import { VerifyScene, verifiesAndRepairs } from './verify-scene.ts';

describePostgres([18], (postgres) => {
  test('every kind of damage is found, none else is, and all of it is repaired, while rows are written', async () => {
    const server = await postgres.server();
    await using scene = await VerifyScene.make({ server, hand: (folder) => new SqliteHand(folder, 'items') });
    expect(await verifiesAndRepairs(scene, [...damages, unreadable])).toMatchObject({ equal: true, differences: 0, unsettled: 0 });
    // Its words are searched for again, too.
    expect((await scene.cli('search', 'items', '"name 4"')).stdout).toContain('name 4');
  });

  test('the screen says what differs, how it is mended, and in the end that it is equal', async () => {
    const server = await postgres.server();
    await using scene = await VerifyScene.make({ server, hand: (folder) => new SqliteHand(folder, 'items') });
    await scene.inStep();
    await scene.hand.erase([idOf(1), idOf(2)]);
    const shown = await scene.cli('verify', 'items', '--limit', '1');
    expect(shown).toMatchObject({ code: 1, stdout: expect.stringMatching(/^DIFFERENCE +ID +FIELD +STORED SEQ +STORED VERSION\nmissing +item-\d:\d\nand 1 more: --limit shows more of them\n\nitems, generation 1: 1,500 documents compared with 1,501 rows as of seq [\d,]+ to [\d,]+, in .*\n1 row has no document because it is parked: `tailrace dlq list items`\n2 differences: 2 missing\.\nMend it: `tailrace verify items --generation 1 --repair`\nThe index is not what its table says\.\n$/) as unknown });
    const mended = await scene.cli('verify', 'items', '--repair');
    expect(mended).toMatchObject({ code: 0, stdout: expect.stringMatching(/2 documents are repaired\.\nThe index is what its table says\.\n$/) as unknown });
    expect(await scene.cli('verify', 'items', '--sample', '50%')).toMatchObject({ code: 0, stdout: expect.stringMatching(/a sample of [\d,]+ documents \(50\.0 %\) compared[^]*The sample is equal\.\n$/) as unknown });
    expect(await scene.cli('verify', 'items', '--generation', '7')).toMatchObject({ code: 64, stderr: expect.stringContaining('Index items has no generation 7; it has: 1.') as unknown });
    const slow = scene.cli('verify', 'items', '--rate', '200');
    await eventually('it goes on', 20_000, async () => (JSON.parse((await scene.cli('status', '--json')).stdout) as { indices: { verify: { running: unknown } | null }[] }).indices[0]?.verify?.running != null);
    expect(await scene.cli('verify', 'items')).toMatchObject({ code: 64, stderr: expect.stringContaining('Index items is being verified already (generation 1): one verification of an index goes on at a time.') as unknown });
    expect((await slow).code).toBe(0);
  });

  test('rows that ALTER TABLE has made others in silence are read again before anything is called a difference', async () => {
    const server = await postgres.server();
    await using scene = await VerifyScene.make({ server, hand: (folder) => new SqliteHand(folder, 'items') });
    await scene.inStep();
    await scene.sql('ALTER TABLE items ALTER COLUMN stock TYPE int USING stock + 1');
    expect(await scene.verify(0)).toMatchObject({ equal: true, differences: 0, unsettled: 0 });
    expect(JSON.parse((await scene.hand.read(idOf(7)))?.document ?? '{}')).toMatchObject({ stock: 8, twice: 16 });
    await scene.sql('ALTER TABLE items ALTER COLUMN stock TYPE int USING stock + 1');
    expect(await scene.verify(0, '--sample', '50%')).toMatchObject({ differences: 0, unsettled: 0 });
  });
});
