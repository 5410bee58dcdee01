/** Defects on the way from the log into targets. */
import type { Mutation } from './mutation.ts';

const applier = 'src/apply/applier.ts';
const delivery = 'src/apply/delivery.ts';
const deliveries = 'src/apply/deliveries.ts';
const table = 'src/apply/indexed-table.ts';
const cursor = 'src/apply/stored-cursor.ts';
const batch = 'src/apply/change-batch.ts';

export const applyMutations: readonly Mutation[] = [
  {
    name: 'cursor-before-result',
    defect: 'The cursor moves when a batch is sent.',
    patches: [{ file: applier, from: '      await this.#deliveries.bring(built, cursor, signal);\n      done();', to: '      done();\n      this.#cursor.store();\n      await this.#deliveries.bring(built, cursor, signal);' }],
  },
  {
    name: 'cursor-of-the-fastest',
    defect: 'The cursor is that of the batch that came furthest, not of the slowest before it.',
    patches: [{ file: 'src/apply/low-water.ts', from: '      while (this.#open[0]?.done', to: '      this.#cursor = Math.max(this.#cursor, batch.through);\n      while (this.#open[0]?.done' }],
  },
  {
    name: 'cursor-past-the-end-of-a-snapshot',
    defect: 'The cursor passes the end of a snapshot before anything followed from it.',
    patches: [{ file: applier, from: 'const before = frame.count === 0 ? batch.through : Math.max(this.#dispatchedThrough, frame.lastSeq - 1);', to: 'const before = batch.through;' }],
  },
  {
    name: 'hold-ahead-of-cursor',
    defect: 'The log is released up to a cursor that is not stored yet.',
    patches: [{ file: cursor, from: '      log.hold(this.#name, this.seq);\n    } else if (runtime', to: '    }\n    log.hold(this.#name, this.seq);\n    if (!atomicCursor && runtime' }],
  },
  {
    name: 'item-errors-ignored',
    defect: 'Operations that the target wants again count as applied.',
    patches: [{ file: delivery, from: '      next.again.push(operation);', to: '      into.applied.push(operation);' }],
  },
  {
    name: 'refusals-ignored',
    defect: 'Operations that the target refused are parked nowhere.',
    patches: [{ file: delivery, from: 'if (refused.length > 0) deps.onRefused(refused);', to: '' }],
  },
  {
    name: 'refused-document-stays-as-it-was',
    defect: 'Of a document that its target refused, the index keeps whatever version it has.',
    patches: [{ file: delivery, from: "      if (operation.kind === 'put') next.withdrawals.push(withdrawalOf(operation.id, operation.version));\n", to: '' }],
  },
  {
    name: 'unbuilt-document-stays-as-it-was',
    defect: 'Of a document that could not be built, the index keeps whatever version it has.',
    patches: [{ file: 'src/apply/built-batch.ts', from: '      withdrawals.push(withdrawalOf(id, version));\n', to: '' }],
  },
  {
    name: 'stale-is-a-failure',
    defect: 'An operation that the target has newer is sent again and again.',
    patches: [{ file: delivery, from: 'else if (!isOwn) into.stale.push(operation);', to: 'else next.again.push(operation);' }],
  },
  {
    name: 'batch-dropped-on-error',
    defect: 'A batch that failed as a whole counts as done.',
    patches: [{ file: delivery, from: '      const pauseMs = backoff.nextMs();\n', to: '      return delivered;\n      const pauseMs = backoff.nextMs();\n' }],
  },
  {
    name: 'parked-after-the-cursor',
    defect: 'Documents that cannot be built are parked when their batch is applied.',
    patches: [
      { file: applier, from: '    this.#letters.park(built.failed);\n', to: '' },
      { file: applier, from: '      await this.#deliveries.bring(built, cursor, signal);\n', to: '      await this.#deliveries.bring(built, cursor, signal);\n      await this.#deps.runtime.clock.sleep(1, signal);\n      this.#letters.park(built.failed);\n' },
    ],
  },
  {
    name: 'letter-closed-after-the-cursor',
    defect: 'The letter of a document is closed when its newer version is applied.',
    patches: [
      {
        file: deliveries,
        from: '      this.#letters.closeFor(operations, clearedAt);\n      const delivered = await deliver(request, deps, signal);\n',
        to: '      const delivered = await deliver(request, deps, signal);\n      this.#letters.closeFor(operations, clearedAt);\n',
      },
    ],
  },
  {
    name: 'letters-kept',
    defect: 'A letter stays although a newer version of its document was applied.',
    patches: [{ file: deliveries, from: '      this.#letters.closeFor(operations, clearedAt);\n', to: '' }],
  },
  {
    name: 'tombstones-forgotten-early',
    defect: 'Targets may forget deletes that a replay can still reach.',
    patches: [{ file: deliveries, from: 'forgetBelow: versionOf(log.epoch, log.firstSeq)', to: 'forgetBelow: versionOf(log.epoch, log.durableSeq + 1)' }],
  },
  {
    name: 'same-key-twice-in-flight',
    defect: 'Two batches with the same key are on their way at once.',
    patches: [{ file: 'src/apply/in-flight.ts', from: ' || [...this.#batches].some((batch) => !batch.isDisjointFrom(keys))', to: '' }],
  },
  {
    name: 'truncate-beside-others',
    defect: 'A batch that empties the index overtakes batches that are on their way.',
    patches: [{ file: applier, from: '    this.#letters.park(built.failed);\n    if (built.clearedAt !== null) await inFlight.idle();', to: '    this.#letters.park(built.failed);' }],
  },
  {
    name: 'truncate-lost',
    defect: 'A truncate is not passed on.',
    patches: [{ file: batch, from: '        this.clearedAt = seq;\n', to: '' }],
  },
  {
    name: 'first-change-wins',
    defect: 'Of several changes of a key in a batch the first is sent.',
    patches: [{ file: batch, from: 'this.changes.set(text, { seq', to: 'if (before === undefined) this.changes.set(text, { seq' }],
  },
  {
    name: 'frames-taken-whole',
    defect: 'Of a frame that is read again everything is sent again.',
    patches: [{ file: batch, from: '      if (seq <= this.through) continue;\n', to: '' }],
  },
  {
    name: 'foreign-snapshots-taken',
    defect: 'A generation takes rows of snapshots that were made for others.',
    patches: [{ file: table, from: 'snapshot.source === source && isFor(snapshot, this.#generation);', to: 'snapshot.source === source;' }],
  },
  {
    name: 'filtered-rows-stay',
    defect: 'A row that is filtered out leaves its document as it was.',
    patches: [{ file: 'src/apply/built-batch.ts', from: "operations.push({ kind: 'delete', id, version });", to: "if (change.op === Op.delete) operations.push({ kind: 'delete', id, version });" }],
  },
  {
    name: 'superseded-not-counted',
    defect: 'What a later change of the same key replaces is counted nowhere.',
    patches: [{ file: batch, from: '        this.superseded += 1;\n', to: '' }],
  },
  {
    name: 'wall-clock-pauses',
    defect: 'Pauses are measured by the wall clock.',
    patches: [
      { file: applier, from: 'batch.through > this.#dispatchedThrough && runtime.clock.monotonicMs()', to: 'batch.through > this.#dispatchedThrough && runtime.clock.nowMs()' },
      { file: applier, from: 'this.#dispatchedAtMs = runtime.clock.monotonicMs();', to: 'this.#dispatchedAtMs = runtime.clock.nowMs();' },
    ],
  },
];
