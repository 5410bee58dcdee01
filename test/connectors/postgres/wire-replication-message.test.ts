import { expect, test } from 'vitest';
import { standbyStatus, timestampMs } from '../../../connectors/sources/postgres/wire/replication-message.ts';
import { uint64 } from './wire-bytes.ts';

test('a status says exactly what was received and what is durable, never one more', () => {
  const status = standbyStatus({ received: 0x55_e20d40n, flushed: 0x55_e20d00n, nowMs: Date.UTC(2026, 0, 2), replyRequested: false });
  expect(status.toString('hex')).toBe(
    ['64', '00000026', '72', '0000000055e20d40', '0000000055e20d00', '0000000055e20d00', uint64(BigInt(Date.UTC(2026, 0, 2) - Date.UTC(2000, 0, 1)) * 1000n).toString('hex'), '00'].join(''),
  );
  expect(standbyStatus({ received: 1n, flushed: 1n, nowMs: 0, replyRequested: true }).at(-1)).toBe(1);
});

test('a status carries positions beyond what 32 bits hold', () => {
  const status = standbyStatus({ received: 0xffff_ffff_ffff_fff8n, flushed: 0x1_0000_0000n, nowMs: 0, replyRequested: false });
  expect(status.readBigUInt64BE(6)).toBe(0xffff_ffff_ffff_fff8n);
  expect(status.readBigUInt64BE(14)).toBe(0x1_0000_0000n);
});

test('the server\'s clock counts microseconds from the year 2000', () => {
  expect(timestampMs(uint64(0n), 0)).toBe(Date.UTC(2000, 0, 1));
  expect(timestampMs(uint64(BigInt(Date.UTC(2026, 10, 22, 17) - Date.UTC(2000, 0, 1)) * 1000n + 999n), 0)).toBe(Date.UTC(2026, 10, 22, 17));
  const before = Buffer.alloc(8);
  before.writeBigInt64BE(-1000n);
  expect(timestampMs(before, 0)).toBe(Date.UTC(2000, 0, 1) - 1);
});
