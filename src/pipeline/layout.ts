/** Where things lie in the data directory. */

export interface Layout {
  readonly directory: string;
  /** Folder of the change log's segments. */
  readonly log: string;
  readonly state: string;
  readonly lock: string;
  /** Socket that the command line talks to. */
  readonly socket: string;
}

export function layoutOf(directory: string): Layout {
  return {
    directory,
    log: `${directory}/log`,
    state: `${directory}/state.db`,
    lock: `${directory}/lock.db`,
    socket: `${directory}/admin.sock`,
  };
}
