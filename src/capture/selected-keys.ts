/** What capture makes of a selection before it is read: keys that differ, as many as the registers of the log can hold, and a note of it. */
import type { Selection } from '../connector/source.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import { windowKey } from './chunk-window.ts';
import type { SelectionNote } from './snapshot-state.ts';

type Keys = Extract<Selection, { readonly kind: 'keys' }>;

/**
 * Keys that may wait to be read at one time, over all snapshots of a source, in bytes of their ranges. Until then they are in registers, which
 * every segment of the log begins with.
 */
const WAITING_KEYS_BYTES_MAX = 8 * 1024 * 1024;

export function distinctKeys({ keys }: Keys): Keys {
  return { kind: 'keys', keys: [...new Map(keys.map((key) => [windowKey(key), key])).values()] };
}

/** Throws USAGE when the ranges are more than may wait together with those that do. */
export function keysWithin(waitingBytes: number, ranges: readonly Uint8Array[]): void {
  const bytes = ranges.reduce((sum, { length }) => sum + length, 0);
  if (bytes + waitingBytes <= WAITING_KEYS_BYTES_MAX) return;
  const others = waitingBytes === 0 ? '' : `, and ${waitingBytes} bytes of others wait to be read`;
  throw new TailraceError('USAGE', {
    message: `The keys that are asked for have ${bytes} bytes${others}; together they may have ${WAITING_KEYS_BYTES_MAX}.`,
    hint: 'Ask for a part of them, and for the rest when that is done; or for all rows.',
  });
}

export function noteOf(selection: Selection): SelectionNote {
  return selection.kind === 'keys' ? { kind: 'keys', keys: selection.keys.length } : selection;
}
