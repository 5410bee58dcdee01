/** The parts of snapshots that need no server: places, chunk sizes, collecting rows, keeping connections. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ChunkRows } from '../../../connectors/sources/postgres/snapshot/chunk-rows.ts';
import { ChunkSize } from '../../../connectors/sources/postgres/snapshot/chunk-size.ts';
import { ReadConnections } from '../../../connectors/sources/postgres/snapshot/read-connections.ts';
import { decodeRange, encodeRange, ordinalOfText, tupleIdOf } from '../../../connectors/sources/postgres/snapshot/tid-range.ts';
import type { TableShape } from '../../../connectors/sources/postgres/catalog/shape.ts';
import type { RawConnection } from '../../../connectors/sources/postgres/wire/raw-query.ts';
import { decodeKey } from '../../../src/change/key.ts';
import type { Clock } from '../../../src/runtime/clock.ts';
import { keysOf } from '../../capture/chunk-keys.ts';

const MiB = 1024 * 1024;
const never = new AbortController().signal;

describe('places', () => {
  const place = fc.record({ block: fc.integer({ min: 0, max: 2 ** 32 - 2 }), line: fc.integer({ min: 0, max: 65_535 }) });

  const ordinalOf = ({ block, line }: { block: number; line: number }): number => block * 65_536 + line;

  test('are ordered like their numbers and read back from text', () => {
    fc.assert(
      fc.property(place, place, (a, b) => {
        expect(tupleIdOf(ordinalOf(a))).toEqual(a);
        expect(Math.sign(ordinalOf(a) - ordinalOf(b))).toBe(Math.sign(a.block - b.block || a.line - b.line));
        const text = Buffer.from(`x(${a.block},${a.line})y`);
        expect(ordinalOfText(text, 1, text.length - 1)).toBe(ordinalOf(a));
      }),
    );
  });

  test('survive a restart in a range, and a range that is none stops', () => {
    const range = { relation: 'public."odd', oid: 4_000_000_000, file: 7, from: { block: 3, line: 9 }, to: 12 };
    expect(decodeRange(encodeRange(range))).toEqual(range);
    expect(() => decodeRange(Buffer.from('{'))).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }));
  });
});

describe('chunk sizes', () => {
  test('grow over empty blocks, up to a limit', () => {
    const size = new ChunkSize();
    for (let i = 0; i < 10; i += 1) size.learn(0, 0, size.blocks, 4 * MiB);
    expect(size.blocks).toBe(16_384);
    expect(size.rowsMax).toBeNull();
  });

  test('settle where the wanted bytes are', () => {
    const size = new ChunkSize();
    for (let i = 0; i < 10; i += 1) size.learn(size.blocks * 60, size.blocks * 10_000, size.blocks, 4 * MiB);
    expect(size.blocks).toBe(419);
  });

  test('go by rows where blocks hold too much, and back where they do not', () => {
    const size = new ChunkSize();
    size.overflowed();
    expect(size.rowsMax).toBe(8);
    size.learn(8, 800_000, 1, 4 * MiB);
    expect(size.rowsMax).toBeGreaterThan(40);
    for (let i = 0; i < 5; i += 1) size.learn(100, 10_000, 10, 4 * MiB);
    expect(size.rowsMax).toBeNull();
  });

  test('stay by rows while one block alone is read: a part of it does not tell what it holds', () => {
    const size = new ChunkSize();
    size.overflowed();
    size.learn(8, 300, 0, 64 * 1024);
    expect([size.blocks, size.rowsMax]).toEqual([512, 128]);
    size.learn(128, 5_000, 0, 64 * 1024);
    expect(size.rowsMax).toBe(2048);
  });

  test('never fall to nothing', () => {
    const size = new ChunkSize();
    size.overflowed();
    size.learn(1, 100 * MiB, 1, MiB);
    expect([size.blocks, size.rowsMax]).toEqual([1, 1]);
  });
});

describe('rows of a chunk', () => {
  const shape: TableShape = {
    schema: { table: 'public.t', format: 'postgres/1', columns: ['a', 'b'].map((name, i) => ({ name, kind: 'text', sourceType: 'text', nullable: true, keyOrdinal: i, decoding: { as: 'text' } })) },
    keyIndexes: [1],
  };
  const tuple = (...values: (string | null)[]): Buffer =>
    Buffer.concat([Buffer.from([0, values.length]), ...values.map((value) => (value === null ? Buffer.from('n') : Buffer.concat([Buffer.from([0x74, 0, 0, 0, value.length]), Buffer.from(value)])))]);

  test('lose their place and keep everything else, in buffers that grow', () => {
    const rows = new ChunkRows(shape, 8);
    for (let i = 1; i <= 100; i += 1) {
      const row = tuple(`(0,${i})`, `a${i}`, i % 2 === 0 ? null : `b${i}`);
      rows.addPlaced(Buffer.concat([Buffer.from('before'), row]), 6, 6 + row.length);
    }
    const taken = rows.take();
    const { bytes, offsets } = taken;
    const keys = keysOf(taken);
    expect(rows.lastOrdinal).toBe(100);
    expect(Buffer.from(bytes.subarray(offsets[2], offsets[3]))).toEqual(tuple('a3', 'b3'));
    expect(decodeKey(keys[2] as Uint8Array).map(String)).toEqual(['b3']);
    expect(decodeKey(keys[3] as Uint8Array)).toEqual([null]);
    expect(offsets).toHaveLength(101);
  });

  test('that come out of order, or with other columns, break an invariant', () => {
    const add = (rows: ChunkRows, row: Buffer): void => rows.addPlaced(row, 0, row.length);
    const rows = new ChunkRows(shape, 64);
    add(rows, tuple('(0,2)', 'a', 'b'));
    expect(() => add(rows, tuple('(0,2)', 'a', 'b'))).toThrow(expect.objectContaining({ code: 'INVARIANT' }));
    const other = tuple('a', 'b', 'c');
    expect(() => new ChunkRows(shape, 64).add(other, 0, other.length)).toThrow(expect.objectContaining({ code: 'INVARIANT' }));
  });
});

describe('connections for reading', () => {
  function stage(): { readonly pool: ReadConnections; readonly opened: () => number; readonly closed: () => number; readonly tick: () => void } {
    let opened = 0;
    let closed = 0;
    let timer: (() => void) | null = null;
    const clock: Clock = {
      nowMs: () => 0,
      monotonicMs: () => 0,
      sleep: async () => {},
      schedule: (_ms, task) => {
        timer = task;
        return () => {
          if (timer === task) timer = null;
        };
      },
    };
    const open = async (): Promise<RawConnection> => {
      opened += 1;
      return { pid: opened, query: async () => {}, statement: async () => {}, values: async () => [], [Symbol.asyncDispose]: async () => void (closed += 1) };
    };
    return { pool: new ReadConnections(open, clock), opened: () => opened, closed: () => closed, tick: () => timer?.() };
  }

  test('are used again, and closed when nobody has needed them for a while', async () => {
    const at = stage();
    await at.pool.use(async () => {}, never);
    await at.pool.use(async () => {}, never);
    expect([at.opened(), at.closed()]).toEqual([1, 0]);
    await Promise.all([at.pool.use(async () => {}, never), at.pool.use(async () => {}, never)]);
    expect(at.opened()).toBe(2);
    at.tick();
    expect(at.closed()).toBe(2);
    await at.pool.use(async () => {}, never);
    expect(at.opened()).toBe(3);
  });

  test('are closed when their work fails, and when the pool is closed under them', async () => {
    const at = stage();
    await expect(at.pool.use(async () => Promise.reject(new Error('broken')), never)).rejects.toThrow('broken');
    expect(at.closed()).toBe(1);
    const gate = Promise.withResolvers<void>();
    const working = at.pool.use(async () => gate.promise, never);
    await at.pool[Symbol.asyncDispose]();
    gate.resolve();
    await working;
    expect(at.closed()).toBe(2);
  });
});
