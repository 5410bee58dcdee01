/**
 * G12: what is held in memory is bounded by what is wanted of it. A batch that counts the bytes of its changes may keep whole buffers for the sake
 * of a few, and a frame of small rows may become one of large ones when they are completed: both are measured here, and not asked for.
 */
import { ChangeBatch, HELD_FACTOR, HELD_SLACK_BYTES } from '../../../src/apply/change-batch.ts';
import { FRAME_BYTES_MAX } from '../../../src/capture/frame-builder.ts';
import { EntryCursor } from '../../../src/change/entry.ts';
import type { FrameDraft } from '../../../src/connector/log-store.ts';
import type { Findings } from './findings.ts';

let findings: Findings | null = null;
const add = Reflect.get(ChangeBatch.prototype, 'add') as ChangeBatch['add'];

ChangeBatch.prototype.add = function audited(frame, interest): void {
  add.call(this, frame, interest);
  if (findings !== null) auditBatch(findings, this);
};

/** From now on what batches hold is held to its bound. */
export function auditBatches(of: Findings): void {
  findings = of;
}

function auditBatch(of: Findings, { changes }: ChangeBatch): void {
  const buffers = new Set<ArrayBufferLike>();
  let wanted = 0;
  for (const { key, row } of changes.values()) {
    buffers.add(key.buffer);
    buffers.add(row.buffer);
    wanted += key.length + row.length;
  }
  let held = 0;
  for (const { byteLength } of buffers) held += byteLength;
  of.expect('G12', held <= HELD_FACTOR * wanted + HELD_SLACK_BYTES, () => `a batch wants ${wanted} bytes, and holds ${buffers.size} buffers with ${held}`);
}

/** A frame is full before it is too large, and so is each part of one whose rows were completed; whole rows that come last in it join its last part. */
export function auditFrame(of: Findings, { entries, count }: FrameDraft): void {
  if (count < 2 || entries.length <= 2 * FRAME_BYTES_MAX) return;
  let largest = 0;
  const cursor = new EntryCursor(entries, 1);
  for (let at = 0; cursor.next(); ) {
    largest = Math.max(largest, cursor.rowEnd - at);
    at = cursor.rowEnd;
  }
  of.expect('G12', entries.length <= 2 * FRAME_BYTES_MAX + largest, () => `a frame of ${count} entries has ${entries.length} bytes, and its largest entry ${largest}`);
}
