/** Defects of what holds the pieces together. */
import type { Mutation } from './mutation.ts';

const start = 'src/pipeline/start.ts';
const generationRunner = 'src/pipeline/generation-runner.ts';
const indexGenerations = 'src/pipeline/index-generations.ts';

export const pipelineMutations: readonly Mutation[] = [
  {
    name: 'no-lock',
    defect: 'A second daemon works on the same data directory.',
    patches: [{ file: start, from: '  opened.use(takeLock(layout.lock));\n', to: '' }],
  },
  {
    name: 'log-not-bound',
    defect: 'State of another log is used.',
    patches: [{ file: start, from: '  bind(state, log, layout.directory);\n', to: '' }],
  },
  {
    name: 'sweep-too-much',
    defect: 'A sweep removes what came while its snapshot was read.',
    patches: [{ file: generationRunner, from: 'versionOf(log.epoch, snapshot.startSeq + 1)', to: 'versionOf(log.epoch, (snapshot.doneSeq ?? 0) + 1)' }],
  },
  {
    name: 'sweep-skipped',
    defect: 'What a snapshot did not find stays.',
    patches: [{ file: generationRunner, from: 'if (snapshot.sweep && snapshot.startSeq > startSeq) {', to: 'if (snapshot.sweep && snapshot.for.length > 99) {' }],
  },
  {
    name: 'end-of-a-snapshot-beside-its-rows',
    defect: 'What follows from the end of a snapshot is done while batches from before are on their way.',
    patches: [{ file: 'src/apply/applier.ts', from: '    await inFlight.idle();\n    for (const snapshot of finished)', to: '    for (const snapshot of finished)' }],
  },
  {
    name: 'hold-at-the-head',
    defect: 'Until an index has read its cursor the log is held for it from the head on only.',
    patches: [
      { file: indexGenerations, from: 'log.hold(name, state.cursor(record.index, record.generation) ?? record.startSeq);', to: 'log.hold(name, log.durableSeq);' },
      { file: 'src/pipeline/start.ts', from: 'holds: holdsOf(config, state) }', to: 'holds: [] }' },
      { file: 'src/apply/stored-cursor.ts', from: '    log.hold(this.#name, this.#stored);\n', to: '' },
    ],
  },
  {
    name: 'rebuild-in-place',
    defect: 'A rebuild goes on with the generation that is there.',
    patches: [{ file: 'src/pipeline/generations.ts', from: "if (rebuild) return { begin: 'rebuild' };", to: '' }],
  },
  {
    name: 'swapped-unbuilt',
    defect: 'Readers get a generation whose snapshot is not applied yet.',
    patches: [{ file: indexGenerations, from: "record.phase === 'ready' && !record.held && isFed(record)", to: "(record.phase === 'ready' || record.phase === 'building') && isFed(record)" }],
  },
  {
    name: 'retired-starves',
    defect: 'A generation that can be gone back to is not fed any more.',
    patches: [{ file: 'src/pipeline/generations.ts', from: "return phase !== 'dropping' && !abandoned;", to: "return phase !== 'dropping' && phase !== 'retired' && !abandoned;" }],
  },
  {
    name: 'ready-by-yesterday',
    defect: 'The status takes the log for complete whatever the source says.',
    patches: [{ file: 'src/pipeline/source-runner.ts', from: 'if (this.lagBytes === 0) this.#noteInStep', to: 'this.#noteInStep' }],
  },
];
