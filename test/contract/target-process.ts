/**
 * The process that the target contract kills: applies a history batch by batch until it is dead, and prints each batch's number when the
 * target has confirmed it. Arguments: module (exports `connect(argument): Promise<Target>`), its argument, then JSON of `WriterTask`.
 */
import { writeSync } from 'node:fs';
import type { Batch, GenerationPlan, Target } from '../../src/connector/target.ts';
import { history, type HistoryShape } from './target-history.ts';

export interface WriterTask {
  readonly plan: GenerationPlan;
  readonly shape: HistoryShape;
  /** Number of the first batch to apply; null: as the target's cursor says. */
  readonly from: number | null;
  /** Start this many batches earlier. */
  readonly again: number;
}

const [, , moduleName = '', argument = '', task = '{}'] = process.argv;
const { connect } = (await import(moduleName)) as { connect: (argument: string) => Promise<Target> };
const { plan, shape, from, again } = JSON.parse(task) as WriterTask;
const { signal } = new AbortController();

const target = await connect(argument);
const generation = await target.open(plan, signal);
const batches: Batch[] = [];
const source = history(shape);
const batchAt = (number: number): Batch => {
  while (batches.length <= number) batches.push(source.next().value);
  return batches[number] as Batch;
};

let first = from ?? 0;
const cursor = from === null ? await generation.cursor() : null;
while (cursor !== null && batchAt(first).cursor <= cursor) first += 1;
for (let number = Math.max(0, first - again); ; number += 1) {
  await generation.apply(batchAt(number), signal);
  writeSync(1, `${number}\n`);
}
