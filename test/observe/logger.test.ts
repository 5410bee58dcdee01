import { describe, expect, test } from 'vitest';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { createLogger, type LoggerOptions, type ProcessLogger } from '../../src/observe/logging/logger.ts';
import { Scrubber, secretsIn } from '../../src/observe/logging/scrub.ts';
import { Secret } from '../../src/runtime/secret.ts';
import { manualClock, type ManualClock } from './manual-clock.ts';

interface Written {
  readonly logger: ProcessLogger;
  readonly clock: ManualClock;
  readonly text: () => string;
  readonly lines: () => Record<string, unknown>[];
}

function written(options: Partial<LoggerOptions> = {}): Written {
  const clock = manualClock();
  let text = '';
  const write = (line: string): void => void (text += line);
  const logger = createLogger({ level: 'info', format: 'json', colour: false, debug: false, scrubber: new Scrubber(), clock, write, ...options });
  return { logger, clock, text: () => text, lines: () => text.trimEnd().split('\n').filter(Boolean).map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe('a log line', () => {
  test('is one JSON object with time, level, the event as msg and the fields of its children', () => {
    const { logger, lines } = written();
    logger.child({ source: 'shop' }).child({ table: 'public.products' }).info('snapshot_started', { seq: 7, position: '0/16B3748' });
    expect(lines()).toEqual([{ level: 'info', time: 1_800_000_000_000, msg: 'snapshot_started', source: 'shop', table: 'public.products', seq: 7, position: '0/16B3748' }]);
  });

  test('below the level is not written', () => {
    const { logger, lines } = written({ level: 'warn' });
    logger.debug('a');
    logger.info('b');
    logger.warn('c');
    logger.error('d');
    expect(lines().map(({ msg }) => msg)).toEqual(['c', 'd']);
  });

  test('holds bigints as digits and bytes as their number, never the bytes', () => {
    const { logger, lines } = written();
    logger.info('x', { version: 2n ** 62n, row: Buffer.from('private'), nested: { row: new Uint8Array(3) } });
    expect(lines()[0]).toMatchObject({ version: '4611686018427387904', row: '7 bytes', nested: { row: '3 bytes' } });
  });
});

describe('an error in a log line', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:5432'), { code: 'ECONNREFUSED' });
  const error = new TailraceError('SRC_CONN', { message: 'The source shop does not answer.', entity: 'shop', cause: new Error('', { cause: refused }) });

  test('says what happened, what tailrace did, what mends it, and what lay behind it; its code is a field of the line too', () => {
    const { logger, lines } = written();
    logger.warn('source_waiting', { error });
    expect(lines()[0]).toMatchObject({ code: 'SRC_CONN' });
    expect(lines()[0]?.['error']).toEqual({
      code: 'SRC_CONN',
      message: 'The source shop does not answer.',
      did: error.did,
      hint: error.hint,
      entity: 'shop',
      causes: [{ message: 'Error' }, { code: 'ECONNREFUSED', message: 'connect ECONNREFUSED 127.0.0.1:5432' }],
    });
  });

  test('has a stack trace only when debugging', () => {
    const { logger, lines } = written({ debug: true });
    logger.warn('source_waiting', { error });
    expect(lines()[0]?.['error']).toMatchObject({ stack: expect.stringContaining('logger.test.ts') as unknown });
  });

  test('that gathers several failed attempts says each of them, and anything else thrown is UNKNOWN', () => {
    const { logger, lines } = written();
    logger.error('a', { error: new AggregateError([refused, new Error('second')]) });
    logger.error('b', { error: 'thrown text' });
    expect(lines().map(({ error: record }) => record)).toMatchObject([
      { code: 'UNKNOWN', message: 'connect ECONNREFUSED 127.0.0.1:5432; second' },
      { code: 'UNKNOWN', message: 'thrown text' },
    ]);
  });

  test('with causes that go in a circle ends', () => {
    const { logger, lines } = written();
    const circular: Error & { cause?: unknown } = new Error('round');
    circular.cause = circular;
    logger.error('a', { error: circular });
    expect(lines()[0]?.['error']).toMatchObject({ causes: Array.from({ length: 5 }, () => ({ message: 'round' })) });
  });
});

describe('secrets', () => {
  const url = new Secret('postgres://shop:hunter%2F22@db.example:5432/shop');
  const token = new Secret('"quoted"\\token');

  test('never reach a line: not as fields, not inside messages, stacks, hints, causes, names or nested values', () => {
    const { logger, text } = written({ debug: true, scrubber: new Scrubber(secretsIn({ sources: [{ settings: { url } }], admin: { http: { token } } })) });
    const cause = new Error(`password hunter/22 refused at ${url.reveal()}`);
    const error = new TailraceError('SRC_AUTH', { message: `cannot log in to ${url.reveal()}`, hint: `try hunter%2F22 or ${token.reveal()}`, did: 'sent hunter/22', entity: 'hunter/22', cause });
    logger.error('login_refused', { error, url, nested: { deep: [{ url: url.reveal(), 'hunter/22': 1 }] }, header: `Bearer ${token.reveal()}` });
    expect(text()).not.toMatch(/hunter|quoted|token"/);
    expect(text()).toContain('postgres://[secret]@db.example:5432/shop');
    expect(text().split('\n')).toHaveLength(2);
  });

  test('that nobody declared go by their form: userinfo of urls, password settings of connection strings, authorization headers', () => {
    const scrubber = new Scrubber();
    expect(scrubber.text('mongodb+srv://u:p@ss@h1,h2/db and http://tok@h/x?mail=a@b')).toBe('mongodb+srv://[secret]@h1,h2/db and http://[secret]@h/x?mail=a@b');
    expect(scrubber.text("host=db password=geheim user=x password='a b' sslmode=require")).toBe('host=db password=[secret] user=x password=[secret] sslmode=require');
    expect(scrubber.text('authorization: Bearer abc.def-123456')).toBe('authorization: Bearer [secret]');
    expect(scrubber.text('postgres://db.example/shop?sslmode=verify-full')).toBe('postgres://db.example/shop?sslmode=verify-full');
  });

  test('an address that lets nobody in is no secret; one with a parameter may be', () => {
    const scrubber = new Scrubber([new Secret('http://127.0.0.1:9200'), new Secret('https://search.example/?key=geheim')]);
    expect(scrubber.text('cluster http://127.0.0.1:9200 beside https://search.example/?key=geheim')).toBe('cluster http://127.0.0.1:9200 beside [secret]');
  });

  test('a secret that a long text is cut in is not left in part', () => {
    const scrubber = new Scrubber([new Secret('geheim-geheim-geheim')]);
    expect(scrubber.text(`${'x'.repeat(8_180)}geheim-geheim-geheim`)).not.toContain('geheim');
  });

  test('a password that is also the user or database does not garble every line that names these', () => {
    const scrubber = new Scrubber([new Secret('postgres://postgres:postgres@db/shop')]);
    expect(scrubber.text('postgres://postgres:postgres@db/shop: role "postgres" on shop')).toBe('postgres://[secret]@db/shop: role "postgres" on shop');
  });
});

describe('repeats', () => {
  const error = new TailraceError('SRC_CONN', { message: 'down' });

  test('of a warning are counted for ten seconds, and the last is written with the count', () => {
    const { logger, clock, lines } = written();
    for (let i = 1; i <= 5; i += 1) logger.warn('source_waiting', { source: 'shop', error, retry_in_ms: i });
    expect(lines().map(({ retry_in_ms }) => retry_in_ms)).toEqual([1]);
    clock.advance(10_000);
    expect(lines().map(({ retry_in_ms, repeated }) => [retry_in_ms, repeated])).toEqual([[1, undefined], [5, 3]]);
  });

  test('that go on make one line in ten seconds; the first after a quiet period is written at once', () => {
    const { logger, clock, lines } = written();
    for (let second = 0; second < 60; second += 1) {
      logger.warn('source_waiting', { error });
      clock.advance(1_000);
    }
    expect(lines()).toHaveLength(7);
    expect(lines().reduce((sum, { repeated }) => sum + 1 + Number(repeated ?? 0), 0)).toBe(60);
    clock.advance(10_000);
    logger.warn('source_waiting', { error });
    expect(lines()).toHaveLength(8);
  });

  test('with another code, or about another source, are other lines', () => {
    const { logger, lines } = written();
    logger.warn('source_waiting', { source: 'shop', error });
    logger.warn('source_waiting', { source: 'crm', error });
    logger.warn('source_waiting', { source: 'shop', error: new TailraceError('STALLED', { message: 'silent' }) });
    expect(lines()).toHaveLength(3);
  });

  test('that are held back are written at the end, and events that are no trouble are never held back', () => {
    const { logger, lines } = written();
    logger.warn('a');
    logger.warn('a');
    for (let i = 0; i < 3; i += 1) logger.info('b');
    logger.flush();
    expect(lines().map(({ msg }) => msg)).toEqual(['a', 'b', 'b', 'b', 'a']);
  });
});

test('for eyes, a line has the event and its fields, and the error below it in sentences', () => {
  const { logger, text } = written({ format: 'pretty' });
  const error = new TailraceError('SRC_CONN', { message: 'The source shop does not answer.', cause: new Error('connect ECONNREFUSED') });
  logger.warn('source_waiting', { source: 'shop', error });
  const lines = text().split('\n');
  expect(lines[0]).toMatch(/^\[\d\d:\d\d:\d\d\.\d{3}\] WARN: source_waiting \{"source":"shop","code":"SRC_CONN"\}$/);
  expect(lines.slice(1, 5)).toEqual(['    The source shop does not answer.', '    because: connect ECONNREFUSED', `    ${error.did}`, `    → ${error.hint}`]);
});
