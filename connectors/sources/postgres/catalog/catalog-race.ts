/**
 * Catalog functions look at the newest catalog, not at the statement's snapshot: for a table that is dropped while the statement runs they end
 * with an internal error. Asked again, the statement no longer meets the table.
 */

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
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause && (cause.code === 'XX000' || cause.code === '42P01') && gone.test(cause.message);
}
