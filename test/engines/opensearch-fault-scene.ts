/**
 * What tests of faults at an OpenSearch target stand on: a generation on a real server, directly and through a proxy; a loader that does with
 * batches what an applier does; and the comparison of what came of it with the model.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Batch, GenerationPlan, ItemResult, Operation, Target, TargetGeneration } from '../../src/connector/target.ts';
import { dispositionOf } from '../../src/errors/policy.ts';
import { codeOf } from '../../src/errors/tailrace-error.ts';
import { index, planOf, scanned, signal } from '../contract/target-fixture.ts';
import type { TargetModel } from '../contract/target-history.ts';
import { connect } from './opensearch-connect.ts';
import { startFaultProxy, type OpenSearchFaultProxy } from './opensearch-fault-proxy.ts';
import type { OpenSearchServer } from './opensearch.ts';

/** The index behind the first generation. */
export const physical = `${index}-g0001`;

export interface FaultScene extends AsyncDisposable {
  readonly node: OpenSearchServer;
  readonly proxy: OpenSearchFaultProxy;
  /** Speaks to the node through the proxy. */
  readonly target: Target;
  readonly generation: TargetGeneration;
}

/** A promoted first generation on an otherwise empty server. `settings`: of the target. */
export async function faultScene(node: OpenSearchServer, settings: Readonly<Record<string, unknown>> = {}, plan: GenerationPlan = planOf(index)): Promise<FaultScene> {
  await node.clear();
  const proxy = await startFaultProxy(node.url);
  const target = await connect(proxy.url, settings);
  const generation = await target.open(plan, signal);
  await generation.promote(signal);
  const dispose = async (): Promise<void> => {
    await target[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  };
  return { node, proxy, target, generation, [Symbol.asyncDispose]: dispose };
}

export interface Load {
  /** Codes of batches that failed as a whole, in the order in which they did. */
  readonly failures: readonly string[];
  /** How often an operation was to be sent again. */
  readonly retries: number;
}

const loadDeadlineMs = 120_000;
const RETRY_AFTER_MS = 20;

/**
 * Applies batches one after the other, each until everything in it was applied, was stale or was refused for good; after a failure that passes
 * by itself the same batch again. Any other failure is thrown. The model takes in what was not refused, once.
 */
export async function load(generation: TargetGeneration, batches: Iterable<Batch>, model: TargetModel): Promise<Load> {
  const failures: string[] = [];
  let retries = 0;
  const deadline = performance.now() + loadDeadlineMs;
  for (const batch of batches) {
    const refused = new Set<string>();
    let rest: Batch | undefined = batch;
    while (rest !== undefined) {
      if (performance.now() > deadline) throw new Error(`the load did not come to its end; it met ${failures.slice(-5).join(', ')}`);
      const { operations }: Batch = rest;
      const results: readonly ItemResult[] | void = await generation.apply(rest, signal).catch((error: unknown) => {
        if (!['backoff', 'pause'].includes(dispositionOf(error))) throw error;
        failures.push(codeOf(error) ?? 'UNKNOWN');
      });
      if (results === undefined) {
        await pause(RETRY_AFTER_MS);
        continue;
      }
      expect(results).toHaveLength(operations.length);
      for (const [i, { outcome }] of results.entries()) if (outcome === 'poison') refused.add(operations[i]?.id ?? '');
      const again: readonly Operation[] = operations.filter((_, i) => results[i]?.outcome === 'retry');
      retries += again.length;
      rest = again.length === 0 ? undefined : { ...rest, operations: again };
    }
    model.apply({ ...batch, operations: batch.operations.filter(({ id }) => !refused.has(id)) });
  }
  return { failures, retries };
}

/** The index holds what the model says: every id, its version, its document, and nothing else. */
export async function expectExactly(generation: TargetGeneration, ids: readonly string[], model: TargetModel): Promise<void> {
  const held = (await scanned(generation)).map(({ id, version, document }) => [id, version, JSON.parse(document) as unknown]);
  const wanted = model.documents(ids).flatMap((one, i) => (one === null ? [] : [[ids[i], one.version, JSON.parse(one.document) as unknown] as const]));
  expect(held).toEqual(wanted.toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1)));
}
