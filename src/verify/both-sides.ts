/**
 * Reads a whole table and a whole generation beside each other, once, and sums up what each has. Equal sums need no position of the log that both
 * sides were at: a document that is older than the reading and says what its row said at any time of it was right then. Whatever else is found, be
 * it on its way or damage, spoils its bucket only.
 */
import { versionOf } from '../change/seq.ts';
import type { TargetGeneration } from '../connector/target.ts';
import { together } from '../runtime/abort.ts';
import { BucketSums } from './bucket-sums.ts';
import type { ExpectedRows } from './expected-rows.ts';
import type { VerifyProgress } from './progress.ts';
import type { VerifySubject } from './subject.ts';

/** Rejects with the signal's reason, and with what ends the reading of either side: then nothing of it can be used. */
export async function sumUp(subject: VerifySubject, rows: ExpectedRows, salt: number, progress: VerifyProgress, signal: AbortSignal): Promise<BucketSums> {
  const { log, definition } = subject;
  const { table } = definition.from;
  const connection = await subject.connection(signal);
  const generation = await subject.opened(signal);
  const since = log.durableSeq;
  // What is on its way would be looked at one by one.
  await subject.applied(since, signal);
  const { documents } = await generation.stats();
  const estimatedRows = connection.tables.find((described) => described.table === table)?.estimatedRows ?? null;
  Object.assign(progress, { phase: 'hashing', rows: 0, documents: 0, estimatedRows: estimatedRows ?? progress.estimatedRows });
  const sums = new BucketSums(salt, Math.max(documents, estimatedRows ?? 0));
  await together(signal, [
    async (either) => {
      for await (const { chunk } of connection.readAt({ table, selection: { kind: 'all' } }, either)) {
        for (const { id, expected } of rows.of(chunk)) {
          if (expected.kind === 'failed') sums.spoil(id);
          else if (expected.kind === 'document') sums.addMade(id, expected.json);
        }
        progress.rows += chunk.offsets.length - 1;
      }
    },
    async (either) => addStored(sums, generation, versionOf(log.epoch, subject.startSeq), versionOf(log.epoch, since), progress, either),
  ]);
  return sums;
}

async function addStored(sums: BucketSums, generation: TargetGeneration, above: bigint, upTo: bigint, progress: VerifyProgress, signal: AbortSignal): Promise<void> {
  for await (const page of generation.scan(signal)) {
    // Counted here: several rows of a table without a key may make one document.
    progress.documents += page.length;
    for (const { id, version, document } of page) {
      if (version > above && version <= upTo) sums.addStored(id, document);
      else sums.spoil(id);
    }
  }
}
