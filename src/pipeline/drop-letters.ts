/**
 * Forgets dead letters, for somebody who does without those documents. Their indices stay as they are: without them, until a later change of the row
 * makes a document.
 */
import type { DeadLetter, DeadLetterFilter, StateStore } from '../state/state-store.ts';

/** In one transaction. */
const AT_ONCE = 1_000;

/** Drops every letter that the filter takes; returns how many. */
export function dropLetters(state: StateStore, filter: DeadLetterFilter): number {
  let dropped = 0;
  for (;;) {
    const letters = state.someDeadLetters({ ...filter, limit: AT_ONCE });
    if (letters.length === 0) return dropped;
    for (const ofOne of Map.groupBy(letters, ({ index, generation }) => `${index}/${generation}`).values()) {
      const [{ index, generation }] = ofOne as [DeadLetter, ...DeadLetter[]];
      state.unpark(index, generation, ofOne.map(({ id }) => id), Math.max(...ofOne.map(({ seq }) => seq)));
    }
    dropped += letters.length;
  }
}
