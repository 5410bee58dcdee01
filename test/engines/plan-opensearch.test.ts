/** What `tailrace plan` says of changed settings of an index at a real OpenSearch, and what then comes of them: some are changed in place, others build another generation. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StartPlan } from '../../src/pipeline/plan.ts';
import type { GenerationStatus } from '../../src/pipeline/status.ts';
import { runCli, type CliResult } from '../cmd/run-cli.ts';
import { describeOpenSearch, startTimeoutMs, type OpenSearchServer } from './opensearch.ts';
import { startPostgres, type PostgresServer } from './postgres.ts';
import { eventually } from './servers.ts';
import { spawnTailrace } from './tailrace.ts';

describeOpenSearch(['3.6.0'], (openSearch) => {
  let folder: string;
  let search: OpenSearchServer;
  let postgres: PostgresServer;
  let database: string;

  const cli = async (...args: readonly string[]): Promise<CliResult> => runCli(args, { cwd: folder });
  const plan = async (): Promise<StartPlan['indices']> => (JSON.parse((await cli('plan', '--json')).stdout) as StartPlan).indices;
  const configure = (index: Readonly<Record<string, unknown>>): void =>
    writeFileSync(
      join(folder, 'tailrace.yaml'),
      JSON.stringify({ sources: { shop: { type: 'postgres', url: postgres.url(database), slot: database } }, targets: { search: { type: 'opensearch', url: search.url } }, indices: { planned: { from: 'shop.public.items', rollback_hours: 0, ...index } } }),
    );
  const generations = async (): Promise<string[]> => (await cli('generations', 'list', '--json')).stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as GenerationStatus).map(({ generation, phase, reason }) => `${generation} ${phase} ${reason}`);
  /** Starts a daemon until this generation is the only one that there is, and in step. */
  const ranUntil = async (expected: string): Promise<void> => {
    await using daemon = await spawnTailrace(['run'], { cwd: folder });
    await eventually(`${expected}, in step`, 60_000, async () => (await generations()).join() === expected && (await cli('lag', '--max-seconds', '600')).code === 0);
    daemon.kill('SIGTERM');
    await daemon.exit();
  };
  const setting = async (generation: number, name: string): Promise<unknown> => {
    const physical = `planned-g000${generation}`;
    const answer = (await search.ask('GET', `/${physical}/_settings?flat_settings=true`)) as Record<string, { readonly settings: Record<string, unknown> }>;
    return answer[physical]?.settings[`index.${name}`];
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tailrace-plan-'));
    [search, postgres] = await Promise.all([openSearch.server(), startPostgres({ major: 18 })]);
    database = await postgres.createDatabase();
    await postgres.query(`CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items SELECT i, 'name ' || i FROM generate_series(1, 100) i; ANALYZE items`, database);
  }, startTimeoutMs);
  afterAll(async () => {
    await postgres[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  test('a setting that the server changes in place is changed in the generation that readers have', async () => {
    configure({ settings: { refresh_interval: '5s' } });
    expect(await plan()).toMatchObject([{ action: 'build', generation: 1, serving: null }]);
    await ranUntil('1 serving new');
    configure({ settings: { refresh_interval: '7s' } });
    expect(await plan()).toMatchObject([{ action: 'in_place', changed: ['settings.refresh_interval'], generation: 1, serving: 1, drops: [] }]);
    expect((await cli('plan')).stdout).toContain('planned: changed in place');
    expect(await setting(1, 'refresh_interval')).toBe('5s');
    await ranUntil('1 serving new');
    expect(await setting(1, 'refresh_interval')).toBe('7s');
    expect(await plan()).toMatchObject([{ action: 'nothing', changed: [] }]);
  });

  test('one that it does not builds another generation by itself, as the plan warns; a field that is mapped otherwise is planned as one', async () => {
    configure({ settings: { refresh_interval: '7s', number_of_shards: 2 } });
    expect(await plan()).toMatchObject([{ action: 'in_place', changed: ['settings.number_of_shards'] }]);
    expect((await cli('plan')).stdout).toContain('Where the target cannot change it in place, it builds another generation by itself.');
    await ranUntil('2 serving mapping');
    expect(await setting(2, 'number_of_shards')).toBe('2');
    configure({ settings: { refresh_interval: '7s', number_of_shards: 2 }, mapping: { name: { type: 'keyword' } } });
    expect(await plan()).toMatchObject([{ action: 'new_generation', changed: ['mapping'], generation: 3, serving: 2 }]);
    await ranUntil('3 serving config');
    expect(await plan()).toMatchObject([{ action: 'nothing' }]);
    expect(await search.ask('GET', '/planned/_count')).toMatchObject({ count: 100 });
  });
});
