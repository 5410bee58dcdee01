/** Invariant 17: damage is loud. What is not the torn rest of the last write is LOG_CORRUPT; nothing damaged is ever handed out. */
import { describe, expect, test } from 'vitest';
import { codeOf } from '../../src/errors/tailrace-error.ts';
import { openLog } from '../../src/log/open.ts';
import { verifyLog } from '../../src/log/verify.ts';
import type { LogReader } from '../../src/connector/log-store.ts';
import { draftOf, drain, never, optionsOf, registersOf, rowsOf } from './fixtures.ts';
import { diskWith, imageOf, simRuntime } from './sim-runtime.ts';

const options = optionsOf('/log', { segmentBytes: 800 });

interface SmallLog {
  readonly image: ReadonlyMap<string, Buffer>;
  readonly frames: readonly string[];
  readonly segments: readonly string[];
  /** Where the last write begins in the last segment. */
  readonly lastWriteStart: number;
}

/** Two sealed segments and one that is open, whose last write has two frames. */
async function smallLog(logId = 'ab'.repeat(16), word = 'frame'): Promise<SmallLog> {
  const runtime = { ...simRuntime(), random: { fraction: () => 0.5, hex: () => logId } };
  await using log = await openLog(options, runtime);
  const frames: string[] = [];
  for (let i = 0; frames.length < 7; i += 1) {
    await log.append(draftOf(`${word} ${i}`, 2, { registers: registersOf({ n: `${i}` }) }), never);
    frames.push(`${word} ${i}`);
  }
  expect(log.stats().segments).toBe(3);
  const last = runtime.sim.files().findLast((path) => path.endsWith('.seg')) ?? '';
  const lastWriteStart = runtime.sim.contents(last).length;
  await Promise.all([7, 8].map((i) => log.append(draftOf(`${word} ${i}`, 1), never)));
  expect(log.stats().segments).toBe(3);
  frames.push(`${word} 7`, `${word} 8`);
  const image = imageOf(runtime.sim);
  return { image, frames, segments: [...image.keys()].filter((path) => path.endsWith('.seg')), lastWriteStart };
}

/** The labels of all frames that can be read, or the code of the error. */
async function readAll(image: ReadonlyMap<string, Uint8Array>): Promise<string[] | string> {
  try {
    await using log = await openLog(options, simRuntime(diskWith(image)));
    return await labelsOf(log.reader(0));
  } catch (error) {
    return codeOf(error) ?? String(error);
  }
}

async function labelsOf(reader: LogReader): Promise<string[]> {
  await using closing = reader;
  return (await drain(closing)).map((frame) => rowsOf(frame)[0]?.replace(/^\d+:(.*)\/0$/, '$1') ?? '');
}

function changed(image: ReadonlyMap<string, Buffer>, path: string, change: (bytes: Buffer) => Uint8Array): ReadonlyMap<string, Uint8Array> {
  return new Map([...image, [path, change(Buffer.from(image.get(path) ?? []))]]);
}

describe('17: damage is loud:', () => {
  test('any single bit that flips before the last write is LOG_CORRUPT; within it the log heals to what was before', async () => {
    const { image, frames, segments, lastWriteStart } = await smallLog();
    expect(await readAll(image)).toEqual(frames);
    for (const [path, bytes] of image) {
      for (let bit = 0; bit < bytes.length * 8; bit += 1) {
        const flip = (file: Buffer): Buffer => {
          file[bit >> 3] = (file[bit >> 3] ?? 0) ^ (1 << (bit & 7));
          return file;
        };
        const read = await readAll(changed(image, path, flip));
        if (path === segments.at(-1) && bit >> 3 >= lastWriteStart) expect([frames.slice(0, 7), frames.slice(0, 8)], `bit ${bit} of ${path}`).toContainEqual(read);
        else expect(read, `bit ${bit} of ${path}`).toBe('LOG_CORRUPT');
      }
    }
  }, 120_000);

  test('verify finds any bit that flips, and which segment it is in', async () => {
    const { image, segments } = await smallLog();
    for (const path of segments) {
      const bytes = image.get(path) ?? Buffer.alloc(0);
      for (let bit = 3; bit < bytes.length * 8; bit += 37) {
        const sim = diskWith(image);
        sim.flipBit(path, bit);
        const findings = await Array.fromAsync(verifyLog('/log', simRuntime(sim)));
        const wrong = findings.filter(({ level }) => level !== 'ok');
        expect(wrong.length, `bit ${bit} of ${path}`).toBeGreaterThan(0);
        expect(wrong.map(({ subject }) => `/log/${subject}`), `bit ${bit} of ${path}`).toContain(path);
      }
    }
  });

  test('a last segment that ends at any byte heals to whole frames; one that lost its header, and a sealed one that is short, is LOG_CORRUPT', async () => {
    const { image, frames, segments } = await smallLog();
    for (const path of segments) {
      const { length } = image.get(path) ?? Buffer.alloc(0);
      for (let keep = 0; keep < length; keep += 1) {
        const read = await readAll(changed(image, path, (bytes) => bytes.subarray(0, keep)));
        if (path !== segments.at(-1)) expect(read, `${keep} bytes of ${path}`).toBe('LOG_CORRUPT');
        else expect(frames.join().startsWith((read as string[]).join()), `${keep} bytes: ${read.toString()}`).toBe(true);
      }
    }
    const only = new Map([...image].filter(([path]) => path === '/log/IDENTITY' || path === segments[0]));
    for (let keep = 0; keep < 122; keep += 1) expect(await readAll(changed(only, segments[0] ?? '', (bytes) => bytes.subarray(0, keep)))).toBe('LOG_CORRUPT');
  }, 60_000);

  test('zeros or garbage behind the last frame are cut off, also when they hold frames of another log or another place', async () => {
    const { image, frames, segments } = await smallLog();
    const last = segments.at(-1) ?? '';
    const other = (await smallLog('cd'.repeat(16))).image.get(last) ?? Buffer.alloc(0);
    const garbage = [Buffer.alloc(1), Buffer.alloc(5000), Buffer.alloc(700, 'TRLF'), image.get(last) ?? other, image.get(segments[0] ?? '') ?? other, other];
    for (const tail of garbage) expect(await readAll(changed(image, last, (bytes) => Buffer.concat([bytes, tail])))).toEqual(frames);
  });

  test('a hole in the last write heals, a hole before it is LOG_CORRUPT that names segment, place and seqs', async () => {
    const { image, frames, segments, lastWriteStart } = await smallLog();
    const last = segments.at(-1) ?? '';
    expect(await readAll(changed(image, last, (bytes) => bytes.fill(0, lastWriteStart, lastWriteStart + 100)))).toEqual(frames.slice(0, 7));
    const damaged = changed(image, last, (bytes) => bytes.fill(0, lastWriteStart - 50, lastWriteStart));
    const opening = openLog(options, simRuntime(diskWith(damaged)));
    await expect(opening).rejects.toMatchObject({ code: 'LOG_CORRUPT', message: expect.stringMatching(/-0000000003\.seg at byte \d+ \(changes with seq 13 to 14\): .* later/) as string });
  });

  test('a segment that is missing in the middle, exchanged or copied is LOG_CORRUPT', async () => {
    const { image, segments } = await smallLog();
    const [first = '', second = '', third = ''] = segments;
    const without = (path: string): ReadonlyMap<string, Buffer> => new Map([...image].filter(([other]) => other !== path));
    expect(await readAll(without(second))).toBe('LOG_CORRUPT');
    expect(await readAll(new Map([...image].filter(([path]) => !path.endsWith('.seg'))))).toBe('LOG_CORRUPT');
    expect(await readAll(without('/log/IDENTITY'))).toBe('LOG_CORRUPT');
    expect(await readAll(new Map([...image, [second, image.get(first) ?? Buffer.alloc(0)]]))).toBe('LOG_CORRUPT');
    expect(await readAll(new Map([...image, [third, image.get(second) ?? Buffer.alloc(0)]]))).toBe('LOG_CORRUPT');
    const other = (await smallLog('cd'.repeat(16))).image;
    for (const path of image.keys()) expect(await readAll(new Map([...image, [path, other.get(path) ?? Buffer.alloc(0)]]))).toBe('LOG_CORRUPT');
    for (const text of ['', 'null', '{}', '[]', 'x']) expect(await readAll(new Map([...image, ['/log/IDENTITY', Buffer.from(text)]]))).toBe('LOG_CORRUPT');
  });

  test('a piece of another history of the same log is LOG_CORRUPT, though seqs, places and checksums fit', async () => {
    const { image, segments, lastWriteStart } = await smallLog();
    const other = (await smallLog(undefined, 'fruit')).image;
    const [first = '', second = '', third = ''] = segments;
    for (const path of segments) expect(await readAll(new Map([...image, [path, other.get(path) ?? Buffer.alloc(0)]]))).toBe('LOG_CORRUPT');
    // The last frame before the last write, taken from the other history.
    const swapped = (bytes: Buffer): Buffer => Buffer.concat([(other.get(third) ?? bytes).subarray(0, lastWriteStart), bytes.subarray(lastWriteStart)]);
    expect(await readAll(changed(image, third, swapped))).toBe('LOG_CORRUPT');
    const inside = (bytes: Buffer): Buffer => Buffer.concat([bytes.subarray(0, 400), (other.get(second) ?? bytes).subarray(400, 500), bytes.subarray(500)]);
    expect(await readAll(changed(image, second, inside))).toBe('LOG_CORRUPT');
    // Whole frames of a sealed segment: opening believes its ends, the reader does not.
    const frameAt = (bytes: Buffer, from: number): number => bytes.indexOf('TRLF', from + 1);
    const start = frameAt(image.get(first) ?? Buffer.alloc(0), 0);
    const end = frameAt(image.get(first) ?? Buffer.alloc(0), start);
    const exchanged = changed(image, first, (bytes) => Buffer.concat([bytes.subarray(0, start), (other.get(first) ?? bytes).subarray(start, end), bytes.subarray(end)]));
    await using log = await openLog(options, simRuntime(diskWith(exchanged)));
    await expect(labelsOf(log.reader(0))).rejects.toMatchObject({ code: 'LOG_CORRUPT', message: expect.stringContaining('does not follow') as string });
  });

  test('a log of a later format is left alone', async () => {
    const { image } = await smallLog();
    const { crc32 } = await import('node:zlib');
    const text = JSON.parse((image.get('/log/IDENTITY') ?? '').toString()) as Record<string, unknown>;
    const later = { ...text, format_version: 2 };
    const crc = crc32(JSON.stringify([2, text['log_id'], text['epoch'], text['created_at_ms']])).toString(16).padStart(8, '0');
    expect(await readAll(new Map([...image, ['/log/IDENTITY', Buffer.from(JSON.stringify({ ...later, crc32: crc }))]]))).toBe('STATE_TOO_NEW');
  });

  test('an unreadable sealed segment does not keep the others from being read', async () => {
    const { image, frames, segments } = await smallLog();
    const sim = diskWith(image);
    sim.flipBit(segments[0] ?? '', 8 * 300);
    await using log = await openLog(options, simRuntime(sim));
    expect(await labelsOf(log.reader(7))).toEqual(frames.slice(3));
    await using damaged = log.reader(0);
    await expect(drain(damaged)).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
    await expect(damaged.poll()).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
  });
});
