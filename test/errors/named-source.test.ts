import { expect, test } from 'vitest';
import { catalogue } from '../../src/errors/catalogue.ts';
import { hintFor, namingIndex, namingSource } from '../../src/errors/named-source.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';

test('a hint names the source that is to be built again, and is the same when that is not known', () => {
  expect(hintFor(catalogue.SRC_HISTORY_LOST.hint, 'shop-2')).toBe('Build the index again from a snapshot: `tailrace run --rebuild shop-2`.');
  expect(hintFor(catalogue.SRC_HISTORY_LOST.hint, undefined)).toBe(catalogue.SRC_HISTORY_LOST.hint);
});

test('an error that names the source is the same in everything else', () => {
  const cause = new Error('below');
  const error = new TailraceError('TGT_CORRUPT', { message: 'Damaged.', did: 'Stopped.', entity: 'items', cause });
  const named = namingSource(error, 'shop') as TailraceError;
  expect(named).toMatchObject({ code: 'TGT_CORRUPT', message: 'Damaged.', did: 'Stopped.', entity: 'items', cause, stack: error.stack });
  expect(named.hint).toContain('`tailrace run --rebuild shop`');
  expect(namingSource(cause, 'shop')).toBe(cause);
  const other = new TailraceError('SRC_CONN', { message: 'Away.' });
  expect(namingSource(other, 'shop')).toBe(other);
});

test('a hint names the index that is to be built again', () => {
  const named = namingIndex(new TailraceError('LOG_GAP', { message: 'It is gone.' }), 'products') as TailraceError;
  expect(named.hint).toBe('The log no longer holds what this index needs next. Build it again, beside the others: `tailrace resync products`.');
  expect(namingIndex(named, 'products')).toBe(named);
});
