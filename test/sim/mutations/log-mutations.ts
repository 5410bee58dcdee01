/** Defects of the log. */
import type { Mutation } from './mutation.ts';

const writer = 'src/log/segment-writer.ts';
const retention = 'src/log/retention.ts';

export const logMutations: readonly Mutation[] = [
  {
    name: 'no-datasync',
    defect: 'Frames count as durable when they are written.',
    patches: [{ file: writer, from: '    await neverNoSpace(`Syncing ${name}`, this.#file.datasync());', to: '' }],
  },
  {
    name: 'no-directory-sync',
    defect: 'The name of a new segment is not made durable.',
    patches: [{ file: writer, from: '    await neverNoSpace(`Syncing ${directory}`, disk.syncDirectory(directory));\n', to: '' }],
  },
  {
    name: 'datasync-retried',
    defect: 'A datasync that failed is tried again, and believed.',
    patches: [{ file: writer, from: 'await neverNoSpace(`Syncing ${name}`, this.#file.datasync());', to: 'await neverNoSpace(`Syncing ${name}`, this.#file.datasync().catch(async () => this.#file.datasync()));' }],
  },
  {
    name: 'last-write-not-healed',
    defect: 'After a crash the last write is believed to be on the disk because it can be read.',
    patches: [{ file: 'src/log/open.ts', from: 'for (let at = lastWriteStart; at < segment.bytes;', to: 'for (let at = segment.bytes; at < segment.bytes;' }],
  },
  {
    name: 'no-checksum',
    defect: 'The checksum of a body is not looked at.',
    patches: [{ file: 'src/log/frame-scanner.ts', from: 'crc32(body) !== head.bodyCrc', to: 'crc32(body) === -1' }],
  },
  {
    name: 'hold-ignored',
    defect: 'Retention removes what a hold still needs.',
    patches: [{ file: retention, from: 'if (seq < lastSeq) return false;', to: 'if (seq < lastSeq - 30) return false;' }],
  },
  {
    name: 'registers-not-carried-over',
    defect: 'A new segment begins without the registers that were set before it.',
    patches: [{ file: 'src/log/log-writer.ts', from: 'prevCrc: endCrc, registers, nowMs', to: 'prevCrc: endCrc, registers: new Map(), nowMs' }],
  },
  {
    name: 'no-space-is-a-loss',
    defect: 'Frames for which the disk had no room are dropped.',
    patches: [{ file: 'src/log/log-writer.ts', from: 'if (isNoSpace(error)) this.#queue.putBack(group);', to: 'if (isNoSpace(error)) group.forEach((pending) => pending.resolve({ firstSeq: 1, lastSeq: 1 }));' }],
  },
];
