/**
 * Catalog functions look at the newest catalog, not at the statement's snapshot: for a table that is dropped while the statement runs they end
 * with an internal error. Asked again, the statement no longer meets the table.
 */
import { sqlStateOf } from '../connection/sql-state.ts';

const TRIES = 10;

/** Internal errors are not translated. */
const gone = /^(cache lookup failed for |could not open relation with OID |relation with OID \d+ does not exist)/;

/** Runs a statement about the catalog again as long as a table goes away under it, ten times at most. */
export async function pastCatalogRaces<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      if (tries === TRIES || !isCatalogRace(error)) throw error;
    }
  }
}

function isCatalogRace(error: unknown): boolean {
  const state = sqlStateOf(error);
  return (state === 'XX000' || state === '42P01') && error instanceof Error && error.cause instanceof Error && gone.test(error.cause.message);
}
