/** Defects on the way from a source into the log. */
import type { Mutation } from './mutation.ts';

const intake = 'src/capture/intake.ts';
const windows = 'src/capture/chunk-window.ts';
const runner = 'src/capture/snapshot-runner.ts';

export const captureMutations: readonly Mutation[] = [
  {
    name: 'confirm-before-durable',
    defect: 'The source is told that a position is durable when its frame is handed over.',
    patches: [{ file: intake, from: '    const durable = (): void => {\n      this.#deps.confirm(position);', to: '    this.#deps.confirm(position);\n    const durable = (): void => {' }],
  },
  {
    name: 'ordinal-dropped',
    defect: 'What is logged of a transaction that comes again is forgotten.',
    patches: [{ file: intake, from: 'const part = this.#parts.take(start);', to: 'const part = this.#parts.take(start) && null;' }],
  },
  {
    name: 'ordinal-off-by-one',
    defect: 'Of a transaction that comes again one change too many is left out.',
    patches: [{ file: 'src/capture/logged-part.ts', from: 'return count.pushed <= count.logged;', to: 'return count.logged > 0 && count.pushed <= count.logged + 1;' }],
  },
  {
    name: 'part-forgotten-before-it-comes',
    defect: 'A frame that comes before the transaction that is logged in part forgets that it is.',
    patches: [{ file: intake, from: 'open === null || open.changes === 0 ? this.#parts.awaited : [open, ...this.#parts.awaited]', to: 'open === null || open.changes === 0 ? [] : [open]' }],
  },
  {
    name: 'window-ignored',
    defect: 'Rows of a chunk are logged although the stream has them newer.',
    patches: [{ file: 'src/capture/snapshot-frames.ts', from: '!untouched && window.changed(', to: '!untouched && Date.length === 0 && window.changed(' }],
  },
  {
    name: 'whole-by-a-part',
    defect: 'A generation that is being built is taken for whole when a part of its table was read for it.',
    patches: [{ file: 'src/capture/snapshot-state.ts', from: "return selection.kind === 'all' && phase", to: "return selection.kind.length > 0 && phase" }],
  },
  {
    name: 'window-opened-late',
    defect: 'Changes are noted only when the chunk has been read.',
    patches: [{ file: windows, from: '      if (window.table !== table) continue;\n      text', to: '      if (window.table !== table || window.high === null) continue;\n      text' }],
  },
  {
    name: 'window-overflow-ignored',
    defect: 'A chunk is used although not all changes beside it were noted.',
    patches: [
      { file: windows, from: 'if (this.#noted.size > WINDOW_KEYS_MAX) this.#noted = null;', to: 'if (this.#noted.size > WINDOW_KEYS_MAX) this.#noted.clear();' },
    ],
  },
  {
    name: 'watermark-off-by-one',
    defect: 'A chunk counts before the stream has pushed what was committed at its high position.',
    patches: [{ file: windows, from: 'this.#compare(high, position) < 0', to: 'this.#compare(high, position) <= 0' }],
  },
  {
    name: 'high-not-awaited',
    defect: 'A chunk is merged as soon as it is read.',
    patches: [{ file: windows, from: '    this.streamPassed(this.#passed);\n', to: '    this.#windows.delete(window);\n    window.reached();\n' }],
  },
  {
    name: 'truncate-not-spoiling',
    defect: 'A chunk that was read before a truncate is used after it.',
    patches: [{ file: intake, from: '    this.#deps.windows.spoil(table);\n    this.#builder.add(Op.truncate', to: '    this.#builder.add(Op.truncate' }],
  },
  {
    name: 'reread-not-spoiling',
    defect: 'A chunk that was read before the table was rewritten silently is used after it.',
    patches: [{ file: intake, from: '    this.#deps.windows.spoil(table);\n    this.#deps.onReread', to: '    this.#deps.onReread' }],
  },
  {
    name: 'reread-without-sweep',
    defect: 'What the source has no more after a silent change stays in the index.',
    patches: [{ file: 'src/capture/source-connection.ts', from: 'for: [EVERYONE], reason, sweep }', to: 'for: [EVERYONE], reason, sweep: false }' }],
  },
  {
    name: 'progress-before-rows',
    defect: "A snapshot's progress is durable with the first frame of a chunk instead of the last.",
    patches: [{ file: 'src/capture/snapshot-frames.ts', from: 'frames.push(builder.take([]));', to: 'frames.push(builder.take(registers));' }],
  },
  {
    name: 'sweep-from-the-request',
    defect: 'A sweep spares what was on its way into the log when the snapshot was asked for.',
    patches: [{ file: runner, from: '{ ...running.snapshot, startSeq, phase:', to: '{ ...running.snapshot, startSeq: Math.min(startSeq, running.snapshot.startSeq), phase:' }],
  },
  {
    name: 'snapshot-numbers-shared',
    defect: 'Sources that run beside each other count their snapshots in one place, and each writes over what the other counted.',
    patches: [{ file: runner, from: 'return `snapshot-counter:${source}`;', to: 'return `snapshot-counter:${source.length > 99}`;' }],
  },
  {
    name: 'snapshot-forgotten-early',
    defect: 'A snapshot is forgotten when its rows are gone from the log, whether or not its end was acted upon.',
    patches: [{ file: runner, from: '(this.#overBy.get(old.number) ?? Infinity) + 1 < log.firstSeq', to: '(old.doneSeq ?? Infinity) < log.firstSeq' }],
  },
  {
    name: 'replan-ignored',
    defect: 'A range that means nothing any more counts as read.',
    patches: [{ file: 'src/capture/range-reader.ts', from: "if (read === 'replan') return 'replan';", to: "if (read === 'replan') return 'read';" }],
  },
  {
    name: 'rows-not-completed',
    defect: 'Rows are logged without the columns that the source did not send.',
    patches: [{ file: 'src/capture/frame-queue.ts', from: 'frame.built.incomplete.length === 0) this', to: 'frame.built.incomplete.length >= 0) this' }],
  },
  {
    name: 'part-without-its-place',
    defect: 'Of a frame that is cut as its rows are completed only the last part says how far the source is in the log.',
    patches: [{ file: 'src/capture/frame-cutter.ts', from: ', [positionRegister(this.#deps.source), resume]]', to: ', ...(resume.length === 0 ? [[positionRegister(this.#deps.source), resume] as const] : [])]' }],
  },
  {
    name: 'schema-numbered-once',
    defect: 'A schema is put into the log only when it gets its number, even if that frame is lost.',
    patches: [{ file: 'src/capture/schema-registry.ts', from: 'const schema = this.#find(source, declared) ?? this.#add(source, declared);', to: 'const known = this.#find(source, declared);\n    if (known !== undefined) return { schema: known, register: null };\n    const schema = this.#add(source, declared);' }],
  },
  {
    name: 'congestion-ignored',
    defect: 'The source goes on reading however much is on its way.',
    patches: [{ file: intake, from: 'return this.#deps.budget.exhausted;', to: 'return false;' }],
  },
];
