/**
 * Reads a whole table and a whole generation beside each other, once, and sums up what each has. Equal sums need no position of the log that both
 * sides were at: a document that is older than the reading and says what its row said at any time of it was right then. Whatever else is found, be
 * it on its way or damage, spoils its bucket only.
 */
import { keyColumns } from '../change/schema.ts';
import { versionOf } from '../change/seq.ts';
import { together } from '../runtime/abort.ts';
import { BucketSums } from './bucket-sums.ts';
import type { ExpectedRows } from './expected-rows.ts';
import type { VerifyProgress } from './progress.ts';
import { estimatedRows, type VerifySubject } from './subject.ts';

export interface BothSides {
  readonly sums: BucketSums;
  /** Several rows may make one document: what was counted is documents that the target has, and elsewhere documents that rows make. */
  readonly isKeyless: boolean;
}

/** Rejects with the signal's reason, and with what ends the reading of either side: then nothing of it can be used. */
export async function sumUp(subject: VerifySubject, rows: ExpectedRows, salt: number, progress: VerifyProgress, signal: AbortSignal): Promise<BothSides> {
  const { log, definition } = subject;
  const { table } = definition.from;
  const connection = await subject.connection(signal);
  const generation = await subject.opened(signal);
  const since = log.durableSeq;
  // What is on its way would be looked at one by one.
  await subject.applied(since, signal);
  const { documents } = await generation.stats();
  const estimated = estimatedRows(subject, connection);
  Object.assign(progress, { phase: 'hashing', rows: 0, documents: 0, estimatedRows: estimated ?? progress.estimatedRows });
  const sums = new BucketSums(salt, Math.max(documents, estimated ?? 0));
  let made = 0;
  let stored = 0;
  let isKeyless = false;
  const count = (): void => void (progress.documents = isKeyless ? stored : made);
  await together(signal, [
    async (either) => {
      for await (const { chunk } of connection.readAt({ table, selection: { kind: 'all' } }, either)) {
        isKeyless = keyColumns(chunk.schema).length === 0;
        for (const { id, expected } of rows.of(chunk)) {
          if (expected.kind === 'failed') sums.spoil(id);
          else if (expected.kind === 'document') {
            sums.addMade(id, expected.json);
            made += 1;
          }
        }
        progress.rows += chunk.offsets.length - 1;
        count();
      }
    },
    async (either) => {
      const [above, upTo] = [versionOf(log.epoch, subject.startSeq), versionOf(log.epoch, since)];
      for await (const page of generation.scan(either)) {
        for (const { id, version, document } of page) {
          if (version > above && version <= upTo) sums.addStored(id, document);
          else sums.spoil(id);
        }
        stored += page.length;
        count();
      }
    },
  ]);
  return { sums, isKeyless };
}
