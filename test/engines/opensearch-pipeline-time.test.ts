/** An index that takes nothing for ten minutes, on a clock that is sped up for the time: pauses grow to their longest, and nothing else happens. */
import { performance } from 'node:perf_hooks';
import { expect, test } from 'vitest';
import { connectors } from '../../connectors/index.ts';
import { defineConfig } from '../../src/config/define.ts';
import { startPipeline } from '../../src/pipeline/start.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { isEqual } from './main-job/compare.ts';
import { describeOpenSearch } from './opensearch.ts';
import { openSearchStage, SOON_MS, testMs } from './opensearch-pipeline-scene.ts';
import { describePostgres } from './postgres.ts';
import { eventually } from './servers.ts';

const BLOCKED_MS = 10 * 60_000;
const SPEED = 40;

/** Time that goes by faster than it does, from one moment to another. */
class QuickClock implements Clock {
  #speed = 1;
  #since = performance.now();
  #before = performance.now();
  readonly #wallOffsetMs = Date.now() - performance.now();

  set speed(speed: number) {
    this.#before = this.monotonicMs();
    this.#since = performance.now();
    this.#speed = speed;
  }

  monotonicMs(): number {
    return this.#before + (performance.now() - this.#since) * this.#speed;
  }

  nowMs(): number {
    return this.monotonicMs() + this.#wallOffsetMs;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await nodeClock.sleep(ms / this.#speed, signal);
  }

  schedule(ms: number, task: () => void): () => void {
    return nodeClock.schedule(ms / this.#speed, task);
  }
}

describePostgres([18], ({ server }) => {
  describeOpenSearch(['3.6.0'], ({ server: search }) => {
    test('writes that are blocked for ten minutes are all there within a minute of the end of the block, and nothing was parked', { timeout: testMs }, async () => {
      await using on = await openSearchStage(await server(), await search(), 300);
      const { stage, node } = on;
      const clock = new QuickClock();
      const slot = new URL(stage.url).pathname.slice(1);
      // Timeouts of connections would come as much earlier as time is faster.
      const config = defineConfig(
        {
          data_directory: `${stage.folder}/in-process`,
          sources: { shop: { type: 'postgres', url: stage.url, slot, wal_sender_timeout_ms: 600_000 } },
          targets: { search: { type: 'opensearch', url: node.url, refresh_interval: '100ms', request_timeout_ms: 600_000 } },
          indices: { items: { from: 'shop.public.items' } },
        },
        { connectors },
      );
      await using pipeline = await startPipeline(config, { connectors, runtime: { ...nodeRuntime(silentLogger), clock }, version: 'test', pid: process.pid, loadTransform: async () => undefined });
      const index = () => pipeline.status().indices[0];
      const equal = async () => isEqual(await stage.compare());
      await eventually('the index to equal the table', SOON_MS, equal);

      await node.ask('PUT', '/items-g0001/_settings', { 'index.blocks.write': true });
      await stage.write(2);
      await eventually('the index waits', SOON_MS, () => index()?.phase === 'waiting');
      const beganMs = clock.monotonicMs();
      clock.speed = SPEED;
      while (clock.monotonicMs() - beganMs < BLOCKED_MS) {
        await stage.write(1);
        await nodeClock.sleep(100);
        expect(index()).toMatchObject({ phase: 'waiting', dead_letters: 0, error: { code: 'TGT_BLOCKED', hint: expect.stringContaining('index.blocks.write') as unknown } });
      }
      expect(pipeline.status().log.condition).toBe('ok');
      expect(index()?.lag_changes).toBeGreaterThan(100);

      await node.ask('PUT', '/items-g0001/_settings', { 'index.blocks.write': null });
      const liftedMs = clock.monotonicMs();
      await eventually('it goes on by itself', SOON_MS, () => index()?.phase === 'serving' && index()?.lag_changes === 0);
      // The longest pause between two attempts is half a minute.
      expect(clock.monotonicMs() - liftedMs).toBeLessThan(2 * 60_000);
      clock.speed = 1;
      await eventually('the index to equal the table', SOON_MS, equal);
      expect(index()).toMatchObject({ dead_letters: 0, error: null });
    });
  });
});
