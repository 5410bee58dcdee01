import { expect, test } from 'vitest';
import { answeredOnce } from '../../cmd/verb.ts';
import { verbs } from '../../cmd/verbs.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';

test('a command that answers once does not say that it tries again', () => {
  const cause = new Error('below');
  const away = new TailraceError('SRC_CONN', { message: 'It is away.', entity: 'shop', cause });
  expect(answeredOnce(away)).toMatchObject({ code: 'SRC_CONN', message: 'It is away.', did: 'Nothing was changed, and the command does not try again.', hint: away.hint, entity: 'shop', cause });
  expect(answeredOnce(new TailraceError('DISK_FULL', { message: 'It is full.' }))).toMatchObject({ did: 'Nothing was changed, and the command does not try again.' });
});

test('what was said of the very case, and what ends the daemon as well, stays', () => {
  for (const error of [new TailraceError('DISK_FULL', { message: 'It is full.', did: 'Half of it was written.' }), new TailraceError('LOCK_HELD', { message: 'Taken.' }), new Error('defect'), null]) expect(answeredOnce(error)).toBe(error);
});

test('only what runs until it is stopped tries again', () => {
  expect(verbs.filter(({ staysUp }) => staysUp).map(({ command }) => command.split(' ')[0])).toEqual(['demo', 'run']);
});
