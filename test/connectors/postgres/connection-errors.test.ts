import { expect, test } from 'vitest';
import { fatalWarning, sourceError, type Doing } from '../../../connectors/sources/postgres/connection/server-error.ts';
import { codeOf, TailraceError } from '../../../src/errors/tailrace-error.ts';

const names = { source: 'shop', user: 'reader "x"', publication: 'pub', slot: 'slot_a' };

function codeFor(doing: Doing, error: object): string | undefined {
  return codeOf(sourceError(Object.assign(new Error('nothing'), error), { ...names, doing }));
}

test.each<[Doing, object, string]>([
  ['connecting', { code: '28P01', message: 'password authentication failed for user "reader"' }, 'SRC_AUTH'],
  ['connecting', { code: '28000', message: 'no pg_hba.conf entry for host "10.0.0.7", user "reader", database "shop", no encryption' }, 'SRC_TLS'],
  ['connecting', { code: '3D000', message: 'database "shap" does not exist' }, 'SRC_AUTH'],
  ['connecting', { code: '57P03', message: 'the database system is starting up' }, 'SRC_CONN'],
  ['connecting', { code: '53300', message: 'sorry, too many clients already' }, 'SRC_CONN'],
  ['connecting', { code: '08P01', message: 'unsupported startup parameter in options: datestyle' }, 'SRC_POOLER'],
  ['connecting', { code: '42704', message: 'unrecognized configuration parameter "idle_in_transaction_session_timeout"' }, 'SRC_VERSION'],
  ['connecting', { code: 'ECONNREFUSED' }, 'SRC_CONN'],
  ['connecting', { code: 'EPIPE' }, 'SRC_CONN'],
  ['connecting', { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }, 'SRC_TLS'],
  ['connecting', { code: 'ERR_TLS_CERT_ALTNAME_INVALID' }, 'SRC_TLS'],
  ['connecting', { message: 'The server does not support SSL connections' }, 'SRC_TLS'],
  ['connecting', { message: 'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a non-empty string' }, 'SRC_AUTH'],
  ['connecting', { message: 'timeout expired' }, 'SRC_CONN'],
  ['connecting for replication', { code: '42501', message: 'permission denied to start WAL sender' }, 'SRC_GRANT'],
  ['connecting for replication', { code: '53300', message: 'number of requested standby connections exceeds "max_wal_senders" (currently 10)' }, 'SRC_CONN'],
  ['identifying the server', { code: '42601', message: 'syntax error at or near "IDENTIFY_SYSTEM"' }, 'SRC_POOLER'],
  ['creating the slot', { code: '55P03', message: 'canceling statement due to lock timeout' }, 'SRC_SLOT_BLOCKED'],
  ['creating the slot', { code: '53400', message: 'all replication slots are in use' }, 'SRC_SETTING'],
  ['creating the slot', { code: '55000', message: 'logical decoding requires "wal_level" >= "logical"' }, 'SRC_SETTING'],
  ['streaming', { code: '55006', message: 'replication slot "slot_a" is active for PID 7' }, 'SRC_SLOT_IN_USE'],
  ['streaming', { code: '55000', message: 'can no longer access replication slot "slot_a"' }, 'SRC_HISTORY_LOST'],
  ['streaming', { code: '55000', message: 'can no longer get changes from replication slot "slot_a"' }, 'SRC_HISTORY_LOST'],
  ['streaming', { code: '58P01', message: 'requested WAL segment 000000010000000000000003 has already been removed' }, 'SRC_HISTORY_LOST'],
  ['streaming', { code: 'XX000', message: 'could not find record while sending logically-decoded data: record with incorrect prev-link 0/50 at 0/3000028' }, 'SRC_HISTORY_LOST'],
  ['streaming', { code: '42704', message: 'replication slot "slot_a" does not exist' }, 'SRC_HISTORY_LOST'],
  ['streaming', { code: '42704', message: 'publication "pub" does not exist' }, 'SRC_UNPUBLISHED'],
  ['streaming', { code: '42704', message: 'Publikation »pub« existiert nicht' }, 'SRC_UNPUBLISHED'],
  ['streaming', { code: '57P01', message: 'terminating connection due to administrator command' }, 'SRC_CONN'],
  ['streaming', { message: 'Connection terminated unexpectedly' }, 'SRC_CONN'],
  ['asking the server', { code: '42501', message: 'permission denied for table t' }, 'SRC_GRANT'],
  ['asking the server', { code: '55P03', message: 'canceling statement due to lock timeout' }, 'SRC_CONN'],
  ['asking the server', { code: '42601', message: 'syntax error at or near "selct"' }, 'UNKNOWN'],
  ['asking the server', { code: 'XX000', message: 'cache lookup failed' }, 'UNKNOWN'],
  ['streaming', { code: 'ABCDE', message: 'never heard of' }, 'UNKNOWN'],
])('%s: %o means %s', (doing, error, code) => {
  expect(codeFor(doing, error)).toBe(code);
});

test('a server that does not encrypt is not mended by naming an authority', () => {
  const error = sourceError(new Error('The server does not support SSL connections'), { ...names, doing: 'connecting' });
  expect(error).toMatchObject({ code: 'SRC_TLS', hint: expect.stringContaining('`tls: { mode: disable }`') as string });
});

test('errors of all addresses of a name at once are read by the first', () => {
  const each = Object.assign(new Error('connect ECONNREFUSED ::1:5432'), { code: 'ECONNREFUSED' });
  expect(codeOf(sourceError(new AggregateError([each, each]), { ...names, doing: 'connecting' }))).toBe('SRC_CONN');
});

test('catalogued errors and aborts pass as they are', () => {
  const own = new TailraceError('STALLED', { message: 'x' });
  expect(sourceError(own, { ...names, doing: 'streaming' })).toBe(own);
  const abort = new DOMException('stop', 'AbortError');
  expect(sourceError(abort, { ...names, doing: 'streaming' })).toBe(abort);
});

test('the statement that grants replication names the user, quoted', () => {
  const error = sourceError(Object.assign(new Error('permission denied'), { code: '42501' }), { ...names, doing: 'connecting for replication' });
  expect(error).toMatchObject({ hint: 'ALTER ROLE "reader ""x""" REPLICATION;' });
});

test('a warning that changes were left out ends the stream; others do not', () => {
  expect(fatalWarning({ code: '55000', message: 'skipped loading publication "pub"' }, names)).toMatchObject({ code: 'SRC_UNPUBLISHED' });
  expect(fatalWarning({ code: '55000', message: 'something new', routine: 'Unheard' }, names)).toMatchObject({ code: 'SRC_UNPUBLISHED' });
  expect(fatalWarning({ code: '55000', message: 'replication slot "s" does not have active_pid', routine: 'StandbySlotsHaveCaughtup' }, names)).toBeNull();
  expect(fatalWarning({ code: '01000', message: 'something' }, names)).toBeNull();
});
