import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FrameKind, type FrameDraft, type FrameTransaction, type RegisterUpdate } from '../../src/connector/log-store.ts';
import { FrameRole, HEAD_BYTES } from '../../src/log/format.ts';
import { decodeHead, encodeHead, frameBytes } from '../../src/log/frame-head.ts';
import { decodeMeta, decodeTransactions, encodeMeta } from '../../src/log/frame-meta.ts';
import { FrameScanner } from '../../src/log/frame-scanner.ts';
import { encodeDraft, encodeGroup } from '../../src/log/group.ts';
import { decodeFooter, encodeFooter } from '../../src/log/segment-footer.ts';
import { parseSegmentName, segmentName } from '../../src/log/segment.ts';
import { entriesOf, StoredFrame } from '../../src/log/stored-frame.ts';
import { simRuntime } from './sim-runtime.ts';

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const seq = fc.integer({ min: 1, max: 2 ** 47 });
const bytes = fc.uint8Array({ maxLength: 40 });
const registers: fc.Arbitrary<RegisterUpdate[]> = fc.array(
  fc.tuple(fc.string({ maxLength: 12, unit: 'grapheme' }), fc.oneof(bytes, fc.constant(null))).map(([name, value]) => [name, value] as const),
  { maxLength: 5 },
);
const transactions: fc.Arbitrary<FrameTransaction[]> = fc.array(
  fc.record({
    id: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    position: bytes,
    commitTimeMs: fc.double({ noNaN: true }),
    firstEntry: u32,
    entriesBefore: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
    complete: fc.boolean(),
  }),
  { maxLength: 5 },
);
const drafts: fc.Arbitrary<FrameDraft> = fc
  .record({
    kind: fc.constantFrom(...Object.values(FrameKind)),
    source: fc.string({ maxLength: 20, unit: 'grapheme' }),
    snapshot: u32,
    entries: fc.oneof({ weight: 8, arbitrary: bytes }, { weight: 1, arbitrary: fc.integer({ min: 8000, max: 30_000 }).map((length) => new Uint8Array(length).fill(7)) }),
    count: fc.integer({ min: 1, max: 1000 }),
    transactions,
    registers,
  })
  .map((draft) => ({ ...draft, count: draft.entries.length === 0 ? 0 : draft.count }));

describe('the format', () => {
  test('gives back every head as it was written', () => {
    const heads = fc.record({
      prevCrc: u32,
      logTag: u32,
      role: fc.constantFrom(...Object.values(FrameRole)),
      kind: fc.integer({ min: 0, max: 255 }),
      flags: fc.integer({ min: 0, max: 255 }),
      epoch: fc.integer({ min: 0, max: 0xffff }),
      appendTimeMs: fc.double({ noNaN: true }),
      firstSeq: seq,
      count: u32,
      ordinal: u32,
      offset: u32,
      writeStart: u32,
      snapshot: u32,
      transactionCount: u32,
      registerCount: u32,
      metaLength: fc.integer({ min: 0, max: 1000 }),
      metaCrc: u32,
      bodyLength: fc.integer({ min: 0, max: 1000 }),
      rawLength: fc.integer({ min: 0, max: 1000 }),
      bodyCrc: u32,
    });
    fc.assert(
      fc.property(heads, fc.integer({ min: 0, max: 9 }), (head, at) => {
        const into = Buffer.alloc(at + HEAD_BYTES);
        const crc = encodeHead(into, at, head);
        expect(decodeHead(into, at)).toEqual({ ...head, crc });
        expect(frameBytes({ ...head, crc })).toBe(HEAD_BYTES + head.metaLength + head.bodyLength);
      }),
    );
  });

  test('takes no head with any single bit flipped', () => {
    const head = Buffer.alloc(HEAD_BYTES);
    encodeHead(head, 0, { prevCrc: 1, logTag: 2, role: 2, kind: 1, flags: 0, epoch: 3, appendTimeMs: 4.5, firstSeq: 5, count: 6, ordinal: 7, offset: 8, writeStart: 9, snapshot: 0, transactionCount: 0, registerCount: 0, metaLength: 2, metaCrc: 10, bodyLength: 11, rawLength: 11, bodyCrc: 12 });
    for (let bit = 0; bit < HEAD_BYTES * 8; bit += 1) {
      const flipped = Buffer.from(head);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(decodeHead(flipped, 0), `bit ${bit}`).toBeTypeOf('string');
    }
  });

  test('gives back every meta as it was written, and never reads beyond its end', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), registers, transactions, (source, updates, table) => {
        const meta = encodeMeta(source, updates, table);
        const decoded = decodeMeta(meta, updates.length);
        expect(decoded.source).toBe(source);
        expect(decoded.registers).toEqual(updates);
        expect(decodeTransactions(meta, decoded.transactionsAt, table.length)).toEqual(table.map((row) => ({ ...row, position: Buffer.from(row.position) })));
        for (const length of [0, 1, meta.length - 1]) {
          if (length < 0 || length >= meta.length) continue;
          expect(() => decodeTransactions(meta.subarray(0, length), decodeMeta(meta.subarray(0, length), updates.length).transactionsAt, table.length)).toThrow(RangeError);
        }
      }),
    );
  });

  test('gives back every footer as it was written', () => {
    const index = fc.array(fc.record({ seq, offset: u32, prevCrc: u32 }), { maxLength: 20 });
    const footers = fc.record({ firstSeq: seq, nextSeq: seq, frames: u32, firstAppendMs: fc.double({ noNaN: true }), lastAppendMs: fc.double({ noNaN: true }), registersCrc: u32, index });
    fc.assert(
      fc.property(footers, (footer) => {
        const body = encodeFooter(footer, 90);
        expect(decodeFooter(body)).toEqual(footer);
        expect(body.readUInt32BE(body.length - 8)).toBe(90 + body.length);
        expect(() => decodeFooter(body.subarray(0, -1))).toThrow(RangeError);
      }),
    );
  });

  test('gives back every group of frames through the scanner, compressed or not', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(drafts, { minLength: 1, maxLength: 6 }), fc.constantFrom('none' as const, 'zstd' as const), fc.integer({ min: 100, max: 5000 }), async (group, compression, chunkBytes) => {
        const marks = { logTag: 11, epoch: 2, ordinal: 3 };
        const encoded = encodeGroup(
          group.map((draft) => encodeDraft(draft, compression)),
          { marks, offset: 500, prevCrc: 77, seq: 1000, appendTimeMs: 123.5 },
        );
        const { sim, disk } = simRuntime();
        sim.place('/segment', Buffer.concat([Buffer.alloc(500), ...encoded.parts]));
        const file = await disk.open('/segment', 'read');
        const scanner = new FrameScanner(file, marks, { offset: 500, prevCrc: 77, seq: 1000 }, chunkBytes);
        for (const draft of group) {
          const scan = await scanner.next(500 + encoded.bytes);
          if (scan.kind !== 'frame') throw new Error(JSON.stringify(scan));
          const frame = new StoredFrame(scan.head, scan.meta, entriesOf(scan.head, scan.body));
          expect({ kind: frame.kind, source: frame.source, snapshot: frame.snapshot, count: frame.count, registers: frame.registers }).toEqual({
            kind: draft.kind,
            source: draft.source,
            snapshot: draft.snapshot,
            count: draft.count,
            registers: draft.registers,
          });
          expect(Buffer.compare(frame.entries, draft.entries)).toBe(0);
          expect(frame.transactions).toEqual(draft.transactions.map((row) => ({ ...row, position: Buffer.from(row.position) })));
          expect(frame).toMatchObject({ epoch: 2, appendTimeMs: 123.5 });
        }
        expect(await scanner.next(500 + encoded.bytes)).toEqual({ kind: 'end' });
        expect(scanner.seq).toBe(encoded.nextSeq);
        expect(scanner.prevCrc).toBe(encoded.endCrc);
      }),
      { numRuns: 200 },
    );
  });

  test('takes a frame of another log, epoch, segment or offset for damage, also where the frame before it is not known', async () => {
    const marks = { logTag: 11, epoch: 2, ordinal: 3 };
    const { sim, disk } = simRuntime();
    const { parts, bytes } = encodeGroup([encodeDraft({ kind: 1, source: 's', snapshot: 0, entries: Buffer.from('x'), count: 1, transactions: [], registers: [] }, 'none')], { marks, offset: 500, prevCrc: 77, seq: 9, appendTimeMs: 1 });
    sim.place('/segment', Buffer.concat([Buffer.alloc(500), ...parts, ...parts]));
    const file = await disk.open('/segment', 'read');
    const scan = async (offset: number, other: Partial<typeof marks>): Promise<string> => {
      const found = await new FrameScanner(file, { ...marks, ...other }, { offset, prevCrc: undefined, seq: undefined }).next(500 + 2 * bytes);
      return found.kind === 'damage' ? found.reason : found.kind;
    };
    expect(await scan(500, {})).toBe('frame');
    expect(await scan(500, { logTag: 12 })).toBe('the frame belongs to another log');
    expect(await scan(500, { epoch: 3 })).toContain('epoch 2 instead of 3');
    expect(await scan(500, { ordinal: 4 })).toBe('the frame belongs to another place');
    expect(await scan(500 + bytes, {})).toBe('the frame belongs to another place');
  });

  test('stores a body compressed only when it is long enough and gets shorter', () => {
    const draftWith = (entries: Uint8Array): FrameDraft => ({ kind: 1, source: 's', snapshot: 0, entries, count: 1, transactions: [], registers: [] });
    const noise = new Uint8Array(20_000).map((_, i) => (i * i * 31 + (i >> 3) * 17 + ((i * 2654435761) >>> 13)) & 255);
    expect(encodeDraft(draftWith(new Uint8Array(20_000)), 'zstd').body.length).toBeLessThan(200);
    expect(encodeDraft(draftWith(new Uint8Array(8191)), 'zstd').body.length).toBe(8191);
    expect(encodeDraft(draftWith(new Uint8Array(20_000)), 'none').body.length).toBe(20_000);
    expect(encodeDraft(draftWith(noise), 'zstd').body.length).toBeLessThanOrEqual(20_000);
  });

  test('names segments so that their order is that of the log', () => {
    expect(segmentName(1, 1)).toBe('00000000000000000001-0000000001.seg');
    expect(parseSegmentName(segmentName(2 ** 48 - 1, 4_000_000_000))).toEqual({ firstSeq: 2 ** 48 - 1, ordinal: 4_000_000_000 });
    expect(parseSegmentName('IDENTITY')).toBeUndefined();
    expect([segmentName(10, 3), segmentName(9, 2), segmentName(10, 2)].toSorted()).toEqual([segmentName(9, 2), segmentName(10, 2), segmentName(10, 3)]);
  });
});
