/** Defects of bounds, of what the status says, and of what lies on the disk without anybody reading it. */
import type { Mutation } from './mutation.ts';

export const boundsMutations: readonly Mutation[] = [
  {
    name: 'batch-pins-buffers',
    defect: 'A batch keeps the whole buffers that its changes are views of.',
    patches: [{ file: 'src/apply/change-batch.ts', from: '    if (this.#heldBytes > HELD_FACTOR * this.bytes + HELD_SLACK_BYTES) this.#copyOut();\n', to: '' }],
  },
  {
    name: 'completed-frame-uncut',
    defect: 'A frame of rows that lack columns grows without bound when they are completed.',
    patches: [{ file: 'src/capture/row-completion.ts', from: 'const isCut = entry.index > this.#first && this.#bytes + bytes > FRAME_BYTES_MAX;', to: 'const isCut = false;' }],
  },
  {
    name: 'completed-frames-pile-up',
    defect: 'However many frames with completed rows wait for the log, the rows of the next one are asked for.',
    patches: [{ file: 'src/capture/frame-queue.ts', from: '      this.#addedBytes += addedBytes;\n', to: '      if (isLast) this.#addedBytes = 0;\n      if (isLast) continue;\n      this.#addedBytes += addedBytes;\n' }],
  },
  {
    name: 'lag-of-last-commit',
    defect: 'The lag of an index is the age of the last commit that it has applied.',
    patches: [{ file: 'src/pipeline/pipeline-status.ts', from: 'lag_seconds: inStep ? 0 : secondsSince(cursor === null ? null : (source?.inStepMsAt(cursor) ?? null), applied.appliedCommitMs, nowMs)', to: 'lag_seconds: secondsSince(null, applied.appliedCommitMs, nowMs)' }],
  },
  {
    name: 'lag-of-the-source',
    defect: 'An index is shown as no further behind than the log.',
    patches: [{ file: 'src/pipeline/pipeline-status.ts', from: 'secondsSince(cursor === null ? null : (source?.inStepMsAt(cursor) ?? null), applied.appliedCommitMs, nowMs)', to: 'secondsSince(source?.inStepMs ?? null, applied.appliedCommitMs, nowMs)' }],
  },
  {
    name: 'memory-lost',
    defect: 'What a source remembers is not kept.',
    patches: [{ file: 'src/capture/intake.ts', from: '    this.insertRegisters([[stateRegister(this.#deps.source), Buffer.from(state)]]);\n', to: '' }],
  },
  {
    name: 'memory-not-copied',
    defect: 'What a source remembers is kept as a view of its buffer.',
    patches: [{ file: 'src/capture/intake.ts', from: 'Buffer.from(state)', to: 'state' }],
  },
  {
    name: 'memory-of-before',
    defect: 'A source that begins anew is told what it remembered of the history that was given up.',
    patches: [{ file: 'src/capture/source-registers.ts', from: '...(this.state === null ? [] : [[stateRegister(source), null] as const]),', to: '' }],
  },
  {
    name: 'footer-untrue',
    defect: 'The footer of a segment says that nothing was appended to it after the beginning.',
    patches: [{ file: 'src/log/segment-writer.ts', from: '    segment.lastAppendMs = nowMs;\n', to: '' }],
  },
];
