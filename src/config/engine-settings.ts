/** Settings of the engine itself: its log, snapshots, admin surface and log lines. All have defaults. */
import { z } from 'zod';
import { secretSetting } from '../connector/setting.ts';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;

/** What one file can hold (`src/log/open.ts` tells why), and how many files the log's limit has room for at least. */
export const SEGMENT_BYTES_MAX = 3 * GiB;
const SEGMENTS_MIN = 4;
const SEGMENT_BYTES_USUAL = 128 * MiB;

const logObject = z.strictObject({
  max_bytes: z.int().min(64 * MiB).default(64 * GiB).describe('Largest size of the change log on disk. What every index has applied is removed long before.'),
  min_age_hours: z.number().min(0).max(24 * 366).default(0).describe('How long changes are kept although every index has applied them, to build an index again without a new snapshot.'),
  segment_bytes: z.int().min(1 * MiB).max(SEGMENT_BYTES_MAX).optional().describe('Size of one file of the change log, at most a quarter of `max_bytes`: only whole files are removed. By default that quarter, or 128 MiB where it is more.'),
  on_full: z.enum(['block', 'evict']).default('block').describe('At `max_bytes`: `block` stops reading the sources until the slowest index has caught up; `evict` gives up the slowest index, which then needs a rebuild.'),
  compression: z.enum(['none', 'zstd']).default('none').describe('`zstd` makes the log about 2.8 times smaller on rows of text and costs about 1 µs of CPU for a row of 350 bytes. May be changed at any time.'),
});
export const logSettings = logObject
  .superRefine(({ segment_bytes: segmentBytes = 0, max_bytes: maxBytes }, context) => {
    if (segmentBytes * SEGMENTS_MIN <= maxBytes) return;
    const message = `may be ${Math.floor(maxBytes / SEGMENTS_MIN)} at most, a quarter of \`max_bytes\`: only whole files are removed`;
    context.addIssue({ code: 'custom', path: ['segment_bytes'], message });
  })
  .transform((log) => ({ ...log, segment_bytes: log.segment_bytes ?? Math.min(SEGMENT_BYTES_USUAL, Math.floor(log.max_bytes / SEGMENTS_MIN)) }));
export type LogSettings = z.output<typeof logSettings>;

export const snapshotSettings = z.strictObject({
  parallel: z.int().min(1).max(32).default(2).describe('How many parts of a table are read at once.'),
  chunk_bytes: z.int().min(64 * 1024).max(64 * MiB).default(4 * MiB).describe('About how many bytes of rows one read brings.'),
  max_bytes_per_second: z.int().min(64 * 1024).optional().describe('Limit for reading snapshots, for each source. By default there is none.'),
});
export type SnapshotSettings = z.output<typeof snapshotSettings>;

const loopback = /^(?:localhost|127\.\d+\.\d+\.\d+|::1)$/;

const httpObject = z.strictObject({
  host: z.string().min(1).default('127.0.0.1').describe('Address to listen on. Any but a loopback address needs a `token`.'),
  port: z.int().min(0).max(65_535).default(7373).describe('Port to listen on; 0 takes any that is free.'),
  token: secretSetting('Token that requests must carry as `Authorization: Bearer`. `/healthz` and `/readyz` need none.').optional(),
});
const httpSettings = httpObject.refine(({ host, token }) => loopback.test(host) || token !== undefined, { path: ['token'], error: 'is required when `host` is no loopback address' });

export const adminSettings = z.strictObject({
  socket: z.string().min(1).optional().describe('Path of the socket that the command line talks to. By default `admin.sock` in the data directory.'),
  http: httpSettings.optional().describe('Serves `/metrics`, `/healthz`, `/readyz` and what the reading verbs show. By default off; `http: {}` turns it on.'),
});
export type AdminSettings = z.output<typeof adminSettings>;

export const loggingSettings = z.strictObject({
  level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('Least severe lines that are written.'),
  format: z.enum(['auto', 'json', 'pretty']).default('auto').describe('`auto` is `pretty` on a terminal and `json` elsewhere.'),
});
export type LoggingSettings = z.output<typeof loggingSettings>;

export const memorySettings = z.strictObject({
  max_buffered_bytes: z.int().min(8 * MiB).max(64 * GiB).default(64 * MiB).describe('Most bytes of changes held in memory for each source. When they are used up, the source is not read.'),
});
export type MemorySettings = z.output<typeof memorySettings>;
