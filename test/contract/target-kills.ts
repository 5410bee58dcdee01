/** Kills processes that write to a target, and compares what they leave with the model of the same history. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import type { Batch, GenerationPlan, Target } from '../../src/connector/target.ts';
import { history, numbersFrom, TargetModel, type HistoryShape } from './target-history.ts';
import type { WriterTask } from './target-process.ts';

const writerFile = fileURLToPath(new URL('./target-process.ts', import.meta.url));

/** A child that has confirmed nothing by then is taken for hung. */
const FIRST_BATCH_WITHIN_MS = 20_000;

export interface KillSummary {
  /** Batches that the model has taken in. */
  readonly batches: number;
  /** How often a kill left a batch that took effect and was never confirmed. */
  readonly unconfirmed: number;
}

export async function killAndCompare(
  fixture: { connect(): Promise<Target> },
  way: { readonly module: string; readonly argument: string },
  plan: GenerationPlan,
  shape: HistoryShape,
  kills: number,
  compare: (target: Target, index: string, ids: readonly string[], model: TargetModel) => Promise<void>,
): Promise<KillSummary> {
  const { signal } = new AbortController();
  const next = numbersFrom(shape.seed);
  const source = history(shape);
  const batches: Batch[] = [];
  const capabilities = await withTarget(fixture, async (target) => target.capabilities);
  const { atomicCursor } = capabilities;
  const model = new TargetModel({ capabilities });
  let taken = 0;
  let unconfirmed = 0;
  const takeThrough = (number: number): void => {
    for (; taken <= number; taken += 1) {
      while (batches.length <= taken) batches.push(source.next().value);
      model.apply(batches[taken] as Batch);
    }
  };
  for (let kill = 0; kill < kills; kill += 1) {
    const task: WriterTask = { plan, shape, from: null, again: Math.floor(next() * 4) };
    const from = taken;
    const confirmed = await writeUntilKilled(way, atomicCursor ? task : { ...task, from }, 1 + Math.floor(next() * 6), next() * 15);
    takeThrough(confirmed);
    await withTarget(fixture, async (target) => {
      await using generation = await target.open(plan, signal);
      await generation.promote(signal);
      if (atomicCursor) {
        const cursor = await generation.cursor();
        const before = taken;
        while (model.cursor !== null && cursor !== null && model.cursor < cursor) takeThrough(taken);
        if (taken > before) unconfirmed += 1;
        expect(cursor, `kill ${kill}`).toBe(model.cursor);
        expect((await generation.stats()).documents, `kill ${kill}`).toBe(model.count);
      } else {
        // What was under way may have taken effect in part, and a replay may have ended half-way: brought to its end, all is whole.
        takeThrough(taken);
        unconfirmed += 1;
        for (const batch of batches.slice(Math.max(0, from - task.again), taken)) await generation.apply(batch, signal);
      }
      await compare(target, plan.index, shape.ids, model);
    });
  }
  return { batches: taken, unconfirmed };
}

async function withTarget<T>(fixture: { connect(): Promise<Target> }, work: (target: Target) => Promise<T>): Promise<T> {
  await using target = await fixture.connect();
  return await work(target);
}

/** Starts a writer and kills it `delayMs` after its `count`th batch; resolves to the number of the last batch that it saw confirmed. */
async function writeUntilKilled(way: { readonly module: string; readonly argument: string }, task: WriterTask, count: number, delayMs: number): Promise<number> {
  const child = spawn(process.execPath, [writerFile, way.module, way.argument, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (bytes: Buffer) => (complaint += bytes.toString()));
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const hung = setTimeout(() => child.kill('SIGKILL'), FIRST_BATCH_WITHIN_MS);
  let seen = 0;
  let last = -1;
  for await (const line of createInterface({ input: child.stdout })) {
    last = Number(line);
    seen += 1;
    if (seen === count) setTimeout(() => child.kill('SIGKILL'), delayMs);
  }
  clearTimeout(hung);
  await exited;
  expect(child.signalCode, complaint).toBe('SIGKILL');
  expect(seen, `the writer confirmed too little before it was taken for hung; ${complaint}`).toBeGreaterThanOrEqual(count);
  return last;
}
