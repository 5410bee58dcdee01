import { describe, expect, test } from 'vitest';
import { catalogue, type ErrorCode } from '../../src/errors/catalogue.ts';
import { dispositionOf, ExitCode, exitCodeOf } from '../../src/errors/policy.ts';
import { isAbort, TailraceError } from '../../src/errors/tailrace-error.ts';

const codes = Object.keys(catalogue) as ErrorCode[];

describe('the error policy', () => {
  test('stops on what it does not know', () => {
    expect([dispositionOf(new Error('boom')), dispositionOf('boom'), dispositionOf(undefined), dispositionOf({ code: 'ECONNRESET' })]).toEqual(['stop', 'stop', 'stop', 'stop']);
  });

  test('recognises errors by their code, whoever made them', () => {
    expect(dispositionOf(Object.assign(new Error('x'), { code: 'SRC_CONN' }))).toBe('backoff');
  });

  test('never answers a failed sync, damage or a second daemon with another try', () => {
    for (const code of ['DISK_FAILED', 'LOG_CORRUPT', 'LOCK_HELD', 'INVARIANT'] as const) expect(catalogue[code].disposition, code).toBe('exit');
  });

  test('never answers lost history, a wrong password or a changed server with another try', () => {
    for (const code of ['SRC_AUTH', 'SRC_HISTORY_LOST', 'SRC_SLOT_AHEAD', 'SRC_DIVERGED', 'SRC_IDENTITY_CHANGED', 'TGT_IDENTITY'] as const) expect(catalogue[code].disposition, code).toBe('stop');
  });

  test('looks again at what a person mends at the server, but not where changes went by that only a rebuild brings back', () => {
    expect([catalogue.SRC_PUBLICATION.disposition, catalogue.SRC_UNPUBLISHED.disposition]).toEqual(['look_again', 'stop']);
    expect(exitCodeOf(new TailraceError('SRC_UNPUBLISHED', { message: 'x' }))).toBe(ExitCode.needsRebuild);
  });

  test('gives every code that ends the process an exit status other than success', () => {
    for (const code of codes) expect(exitCodeOf(new TailraceError(code, { message: 'x' })), code).not.toBe(ExitCode.ok);
  });

  test('tells the service manager which ends are worth a restart', () => {
    const of = (code: ErrorCode): number => exitCodeOf(new TailraceError(code, { message: 'x' }));
    expect([of('DISK_FAILED'), of('LOCK_HELD'), of('CFG_INVALID'), of('SRC_HISTORY_LOST'), of('INVARIANT')]).toEqual([74, 75, 78, 76, 70]);
  });
});

test('an abort is told from an error by its name, and never by its class', () => {
  const controller = new AbortController();
  controller.abort();
  expect([isAbort(controller.signal.reason), isAbort(new Error('x')), isAbort(null)]).toEqual([true, false, false]);
});
