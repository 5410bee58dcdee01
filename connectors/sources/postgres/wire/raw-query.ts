/**
 * Statements whose rows are taken from the socket as bytes, without pg's parser: for snapshots and completed rows.
 *
 * Connecting, authentication and TLS are pg's. Then its socket is ours: rows are handed over as tuples (`../tuple.ts`), values above
 * the limits are read past without being held, everything else (errors, notices, settings) is read here.
 */

/**
 * A row of the running statement as a tuple in `bytes` from `start` to `end`, valid during the call only. `statement` counts the
 * statements of the query string that return rows, from 0.
 */
export type RowListener = (bytes: Buffer, start: number, end: number, statement: number) => void;

export interface RawConnection extends AsyncDisposable {
  /** The server process, as in `pg_stat_activity.pid`. */
  readonly pid: number;
  /**
   * Runs one query string in the simple protocol: it may hold several statements, separated by `;`. Resolves when the server is ready
   * again. Rejects with a catalogued error; when the signal is aborted, with its reason, and the connection is of no more use.
   * One query at a time.
   */
  query(sql: string, onRow: RowListener | null, signal: AbortSignal): Promise<void>;
  /** Runs one statement in the extended protocol, in which a text that holds several is refused; otherwise like `query`. Its rows are of statement 0. */
  statement(sql: string, onRow: RowListener | null, signal: AbortSignal): Promise<void>;
  /** Runs a query string and collects its rows, all statements' together, as text. For few and small ones: a value above the limits is null. */
  values(sql: string, signal: AbortSignal): Promise<(string | null)[][]>;
}

/** Opens a connection with the pinned settings. */
export type OpenRawConnection = (signal: AbortSignal) => Promise<RawConnection>;
