/**
 * Every error that tailrace names: how it reacts, what it did, what mends it. `docs/errors.md` has a section for each code,
 * and a test holds the two lists to each other. A code is never renamed and never reused.
 */

/**
 * - `backoff`: try again after a growing pause, for ever;
 * - `stop`: stop this source or index with the error shown, serve what is there, wait for a person;
 * - `look_again`: the same, and look once a minute whether it was mended at the server;
 * - `exit`: end the process with the code's exit status;
 * - `dead_letter`: park the one change or document, go on with the others;
 * - `pause`: stop writing to the target, look again after a pause, go on by itself.
 */
export type Disposition = 'backoff' | 'stop' | 'look_again' | 'exit' | 'dead_letter' | 'pause';

export interface CatalogueEntry {
  readonly disposition: Disposition;
  /** What tailrace did about it, one sentence. */
  readonly did: string;
  /** The command or statement that mends it. */
  readonly hint: string;
}

const nothingStarted = 'Nothing was started.';
const sourceStopped = 'tailrace stopped reading this source; its position is kept and indices serve what they have.';
const looksAgain = 'tailrace stopped reading this source and looks again once a minute; its position is kept and indices serve what they have.';
const retrying = 'tailrace keeps its position and tries again with growing pauses.';
const processEnded = 'tailrace ended before anything else was written; its position is kept.';

export const catalogue = {
  // configuration
  CFG_INVALID: { disposition: 'exit', did: nothingStarted, hint: 'Correct the named setting; `tailrace schema` prints all that are known.' },
  CFG_UNREADABLE: { disposition: 'exit', did: nothingStarted, hint: 'Name a readable file with `--config FILE`.' },
  CFG_SECRET_MISSING: { disposition: 'exit', did: nothingStarted, hint: 'Set the named environment variable or create the named file.' },
  CFG_TRANSFORM: { disposition: 'exit', did: nothingStarted, hint: 'Correct the expression or module named in the message.' },
  USAGE: { disposition: 'exit', did: nothingStarted, hint: 'See `tailrace --help`.' },
  NOT_RUNNING: { disposition: 'exit', did: 'Nothing was changed.', hint: 'Start the daemon with `tailrace run`.' },
  NOT_BUILT: { disposition: 'exit', did: 'Nothing was changed.', hint: 'Look at `tailrace status`; `tailrace run` builds the index.' },
  ADMIN_IN_USE: { disposition: 'exit', did: 'tailrace ended; what it had begun goes on at the next start.', hint: 'Stop what listens there, or name another port: `admin: { http: { port: PORT } }`.' },
  TIMED_OUT: { disposition: 'exit', did: 'Nothing was changed.', hint: 'Look at `tailrace status`, then try again with a longer limit.' },
  BEHIND: { disposition: 'exit', did: 'Nothing was changed.', hint: 'Look at `tailrace lag` and `tailrace status`.' },
  // the source's connection
  SRC_CONN: { disposition: 'backoff', did: retrying, hint: 'Check that the server is up and reachable from here.' },
  SRC_AUTH: { disposition: 'stop', did: sourceStopped, hint: 'Correct the user or password in the source url; `tailrace check` tries it. Then restart tailrace.' },
  SRC_TLS: { disposition: 'stop', did: sourceStopped, hint: 'Name the server\'s authority with `tls: { ca: FILE }`.' },
  SRC_GRANT: { disposition: 'look_again', did: looksAgain, hint: 'Run the GRANT that `tailrace check` prints.' },
  SRC_SETTING: { disposition: 'look_again', did: looksAgain, hint: 'Run the statement that `tailrace check` prints.' },
  SRC_POOLER: { disposition: 'stop', did: sourceStopped, hint: 'Give the url of the server itself, not of a connection pooler.' },
  SRC_VERSION: { disposition: 'stop', did: sourceStopped, hint: 'Use a server version that docs/limitations.md lists.' },
  SRC_PROTOCOL: { disposition: 'stop', did: sourceStopped, hint: 'Report this with the message: the server sent something that its protocol does not allow.' },
  // the source's tables
  SRC_TABLE_MISSING: { disposition: 'look_again', did: looksAgain, hint: 'Correct `from` in the index, or create the table.' },
  SRC_TABLE_KIND: { disposition: 'look_again', did: looksAgain, hint: 'Index an ordinary, logged table; views and unlogged or foreign tables write no changes.' },
  SRC_NO_IDENTITY: { disposition: 'look_again', did: looksAgain, hint: 'Run the ALTER TABLE ... REPLICA IDENTITY that the message names.' },
  SRC_RLS: { disposition: 'look_again', did: looksAgain, hint: 'Let the user see every row: ALTER ROLE ... BYPASSRLS.' },
  SRC_PUBLICATION: { disposition: 'look_again', did: looksAgain, hint: 'Run the CREATE or ALTER PUBLICATION that the message names.' },
  SRC_UNPUBLISHED: { disposition: 'stop', did: sourceStopped, hint: 'Create the publication again. It counts only for changes that are made afterwards, so then `tailrace run --rebuild SOURCE`.' },
  SRC_DDL: { disposition: 'stop', did: 'What needs the old shape of the table stopped; its place is kept and indices serve what they have.', hint: 'Change the index to fit the table, or undo the change of the table and then `tailrace resync INDEX`.' },
  SRC_VALUE_TOO_LARGE: { disposition: 'dead_letter', did: 'The change was parked; all others go on.', hint: 'Leave the column out with `fields`, or raise `max_value_bytes` and update the row.' },
  SRC_UNDECODABLE: { disposition: 'dead_letter', did: 'The change was parked; all others go on.', hint: 'See `tailrace log dump` for the bytes; leave the column out with `fields`.' },
  SRC_SELECTION: { disposition: 'stop', did: 'These rows are not read, or no further; everything else goes on.', hint: 'Correct the keys or the condition that the message names, and ask again.' },
  // the source's history
  SRC_SLOT_IN_USE: { disposition: 'backoff', did: retrying, hint: 'Stop the other reader, or give this pipeline a slot of its own with `slot`.' },
  SRC_SLOT_FOREIGN: { disposition: 'stop', did: 'Nothing was read from the slot and it was not moved.', hint: 'Name the data directory that reads from the slot, or give this one a slot of its own with `slot`; if that one is lost: `tailrace run --rebuild SOURCE`.' },
  SRC_SLOT_BLOCKED: { disposition: 'backoff', did: retrying, hint: 'End the named transactions: a slot waits for every open one.' },
  SRC_HISTORY_LOST: { disposition: 'stop', did: sourceStopped, hint: 'Build the index again from a snapshot: `tailrace run --rebuild SOURCE`.' },
  SRC_SLOT_AHEAD: { disposition: 'stop', did: sourceStopped, hint: 'Changes between the two positions were read by somebody else: `tailrace run --rebuild SOURCE`.' },
  SRC_DIVERGED: { disposition: 'stop', did: sourceStopped, hint: 'The server is behind what was read from it; after a restore or failover: `tailrace run --rebuild SOURCE`.' },
  SRC_IDENTITY_CHANGED: { disposition: 'stop', did: sourceStopped, hint: 'Point the url at the old server, or accept the new one: `tailrace run --rebuild SOURCE`.' },
  SRC_SNAPSHOT_STALLED: { disposition: 'backoff', did: retrying, hint: 'End the transaction that the message names: the snapshot cannot yet prove that it sees it.' },
  // targets
  TGT_CONN: { disposition: 'backoff', did: 'The change log keeps growing; nothing is lost, the index is behind.', hint: 'Check that the target is up and reachable from here.' },
  TGT_AUTH: { disposition: 'pause', did: 'Writing to this target is paused and tried again.', hint: 'Correct the user, password or key of the target, or give the user its rights again; `tailrace check` tries it.' },
  TGT_BLOCKED: { disposition: 'pause', did: 'Writing to this target is paused and tried again.', hint: 'See the message for what the target refused.' },
  TGT_REJECTED: { disposition: 'dead_letter', did: 'The document was parked; all others go on.', hint: 'Correct the row or the index; a later change of the row replaces the parked one.' },
  TGT_MISSING: { disposition: 'pause', did: 'Writing to this index is paused and tried again; nothing was made in its place.', hint: 'Build the index again: `tailrace resync INDEX`.' },
  TGT_MAPPING: { disposition: 'stop', did: 'Writing to this index stopped; it serves what it has, and the log keeps what follows.', hint: 'Build the index again with the new mapping: `tailrace resync INDEX`.' },
  GEN_NOT_FED: { disposition: 'stop', did: 'It is fed no more; where readers see it, they see it as it is until another generation takes its place.', hint: 'Nothing has to be done where another generation is being built (`tailrace generations list`); otherwise `tailrace resync INDEX`.' },
  GEN_DIFFERS: { disposition: 'stop', did: 'Readers keep the generation that they see; this one is fed, and waits for a person.', hint: 'See what differs with `tailrace verify INDEX --generation N`; then `tailrace generations promote`, or `tailrace resync INDEX`.' },
  TGT_FENCED: { disposition: 'exit', did: 'tailrace ended: the target took none of its writes.', hint: 'Let only one daemon write to the index; stop the other one, then start this one again.' },
  TGT_VERSION: { disposition: 'stop', did: 'Nothing was written to the target.', hint: 'Use a server version that the page of this kind of target in docs/targets lists.' },
  TGT_IDENTITY: { disposition: 'stop', did: 'Nothing was written to the target.', hint: 'Point the target at the index that belongs to this data directory, or build a new one.' },
  TGT_SCHEMA: { disposition: 'stop', did: 'Nothing was written to the target.', hint: 'Move the file that is in the way, or name another `path`.' },
  TGT_CORRUPT: { disposition: 'stop', did: 'Writing to this target stopped; the log keeps what follows.', hint: 'Move the damaged file away, then `tailrace run --rebuild SOURCE`: a new snapshot is taken.' },
  TGT_TOO_MANY_DEAD_LETTERS: { disposition: 'stop', did: 'Writing to this index stopped; the log keeps what follows.', hint: 'Look at the parked documents, correct their cause, restart.' },
  DOC_FAILED: { disposition: 'dead_letter', did: 'The document was parked; all others go on.', hint: 'Correct the expression or module that the message names.' },
  DOC_TOO_LARGE: { disposition: 'dead_letter', did: 'The document was parked; all others go on.', hint: 'Leave the large column out with `fields`, or raise `max_document_bytes` and update the row.' },
  // our own state
  LOCK_HELD: { disposition: 'exit', did: 'Nothing was started and nothing was changed.', hint: 'Stop the other daemon, or give this one a data directory of its own.' },
  STATE_IDENTITY: { disposition: 'exit', did: 'Nothing was started and nothing was changed.', hint: 'Name the data directory that belongs to this configuration, or an empty one with `tailrace run --rebuild SOURCE`.' },
  STATE_FORBIDDEN: { disposition: 'exit', did: 'Nothing was started and nothing was changed.', hint: 'Make the data directory and the files in it readable and writable for the user that runs tailrace.' },
  STATE_TOO_NEW: { disposition: 'exit', did: 'The data directory was left untouched.', hint: 'Run the tailrace version that wrote it, or a newer one.' },
  STATE_CORRUPT: { disposition: 'exit', did: processEnded, hint: 'Restore the data directory, or move it away, then `tailrace run --rebuild SOURCE`: a new snapshot is taken.' },
  LOG_CORRUPT: { disposition: 'exit', did: 'Nothing behind the damage was read and nothing was repaired.', hint: 'See `tailrace log verify`; restore the segment, or move the data directory away, then `tailrace run --rebuild SOURCE`.' },
  LOG_GAP: { disposition: 'stop', did: 'The index keeps serving what it has.', hint: 'The log no longer holds what this index needs next. Build it again, beside the others: `tailrace resync INDEX`.' },
  LOG_FULL: { disposition: 'pause', did: 'Reading of the sources is paused; the sources keep their history.', hint: 'Bring the slowest index back (`tailrace lag`), or raise `log.max_bytes`.' },
  LOG_EVICTED: { disposition: 'stop', did: 'The index keeps serving what it has; the others go on.', hint: 'The index fell behind `log.max_bytes` with `on_full: evict`. Build it again, beside the others: `tailrace resync INDEX`.' },
  DISK_FULL: { disposition: 'pause', did: 'Reading of the sources is paused; what is in the log is still applied.', hint: 'Free space on the disk of the data directory; work goes on by itself.' },
  DISK_FAILED: { disposition: 'exit', did: 'tailrace ended without retrying: what was not yet durable is read from the source again.', hint: 'Check the disk, then start again.' },
  // ourselves
  STALLED: { disposition: 'backoff', did: 'The connection was closed and opened again.', hint: 'If it repeats, look at the network between here and the server.' },
  INVARIANT: { disposition: 'exit', did: processEnded, hint: 'This is a defect of tailrace: report it with the message.' },
  UNKNOWN: { disposition: 'stop', did: sourceStopped, hint: 'This error is not in the catalogue: report it with the output of `--debug`.' },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof catalogue;
