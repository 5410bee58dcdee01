import { expect, test } from 'vitest';
import { SchemaRegistry } from '../../src/capture/schema-registry.ts';
import { SourceRegisters } from '../../src/capture/source-registers.ts';
import { FrameKind, type LogStore } from '../../src/connector/log-store.ts';
import { openLog } from '../../src/log/open.ts';
import { draftOf, never, optionsOf } from '../log/fixtures.ts';
import { simRuntime } from '../log/sim-runtime.ts';

function registersOf(log: LogStore): SourceRegisters {
  return new SourceRegisters({ source: 'shop', tables: new Set(['public.t']), log, schemas: new SchemaRegistry(log.registers) });
}

test('what a first start sets out to begin is durable before it is begun, and forgotten when it has', async () => {
  const runtime = simRuntime();
  {
    await using log = await openLog(optionsOf('/log'), runtime);
    const { beginnings } = registersOf(log);
    expect(beginnings.has('server/slot')).toBe(false);
    await beginnings.note('server/slot', never);
    await beginnings.note('server/slot', never);
  }
  await using log = await openLog(optionsOf('/log'), runtime);
  const registers = registersOf(log);
  expect([registers.beginnings.has('server/slot'), registers.beginnings.has('server/other')]).toEqual([true, false]);
  expect(registers.identity).toBeNull();
  const first = registers.first({ identity: 'server/slot', start: Buffer.from([1]) });
  await log.append(draftOf('', 0, { kind: FrameKind.control, source: 'shop', registers: first }), never);
  expect([registers.identity, registers.beginnings.has('server/slot')]).toEqual(['server/slot', false]);
});
