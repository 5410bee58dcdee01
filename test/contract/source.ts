/**
 * The contract of `src/connector/source.ts` as tests: every source passes them, and so does the simulator's. They drive the database through the
 * fixture and speak to the source through its interface only.
 */
import { describe, expect } from 'vitest';
import { Reading, type SourceFixture } from './source-fixture.ts';
import { testResuming } from './source-resuming.ts';
import { testSelections } from './source-selections.ts';
import { testSnapshots } from './source-snapshots.ts';
import { testStream } from './source-stream.ts';

/** What a test gets: a database of its own, and a way to read from it. */
export interface SourceBench {
  readonly fixture: SourceFixture;
  /** Opens a session and streams; at the end of the test it is closed, and must have broken no rule. */
  readonly read: (...args: Parameters<typeof Reading.open> extends [unknown, ...infer Rest] ? Rest : never) => Promise<Reading>;
}

export type RunSource = (body: (bench: SourceBench) => Promise<void>) => () => Promise<void>;

/** Registers the tests. Each has a database of its own from `factory`. */
export function sourceContract(name: string, factory: () => Promise<SourceFixture>): void {
  const run: RunSource = (body) => async () => {
    await using fixture = await factory();
    await using readings = new AsyncDisposableStack();
    const all: Reading[] = [];
    await body({
      fixture,
      read: async (...args) => {
        const reading = readings.use(await Reading.open(fixture, ...args));
        all.push(reading);
        return reading;
      },
    });
    expect(all.flatMap(({ sink }) => sink.broken)).toEqual([]);
  };
  describe(`${name} keeps the source contract:`, () => {
    testStream(run);
    testResuming(run);
    testSnapshots(run);
    testSelections(run);
  });
}
