/**
 * State and log belong together: a data directory that has lost one of them is refused before anything is made in the place of what is missing.
 * The state file has its name on the disk before the log gets its identity, so that no crash leaves a log without a state.
 */
import { systemCodeOf } from '../errors/system-code.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import { readIdentity } from '../log/identity.ts';
import { openingFailed } from '../log/log-error.ts';
import type { Disk } from '../runtime/disk.ts';
import type { Layout } from './layout.ts';

const hint = 'Restore the data directory as a whole, or move it away, then `tailrace run --rebuild SOURCE`: a new snapshot is taken.';

/** True when the folder holds a change log. Rejects with LOG_CORRUPT, STATE_TOO_NEW, STATE_FORBIDDEN or DISK_FAILED. */
export async function hasLog({ log }: Layout, disk: Disk): Promise<boolean> {
  try {
    return (await readIdentity(disk, log)) !== undefined;
  } catch (error) {
    // Below something that is no folder there is nothing.
    if (systemCodeOf(error) === 'ENOTDIR') return false;
    throw openingFailed(`Opening the change log in ${log}`, error);
  }
}

/** To be asked before a state file is made. Rejects with STATE_IDENTITY when there is a log and no state file. */
export async function refuseWithoutState(layout: Layout, disk: Disk): Promise<void> {
  // The log first: a daemon that starts at this moment makes it last.
  if (!(await hasLog(layout, disk)) || (await isThere(layout.state, disk))) return;
  throw new TailraceError('STATE_IDENTITY', { message: `The state of this data directory is missing: ${layout.directory} has a change log, but no ${layout.state}.`, hint, entity: layout.directory });
}

/** To be asked before a log is made. Rejects with STATE_IDENTITY when the state belongs to a log (`logId`) and there is none. */
export async function refuseWithoutLog(layout: Layout, logId: string | null, disk: Disk): Promise<void> {
  if (logId === null || (await hasLog(layout, disk))) return;
  throw new TailraceError('STATE_IDENTITY', { message: `The change log of this data directory is missing: the state belongs to the log ${logId}, and there is none in ${layout.log}.`, hint, entity: layout.directory });
}

/** Throws STATE_IDENTITY when the state belongs to another log (`logId`; null: to none) than this one. */
export function refuseForeignLog(directory: string, logId: string | null, log: { readonly logId: string }): void {
  if (logId !== log.logId) throw new TailraceError('STATE_IDENTITY', { message: `In ${directory} the state belongs to the change log ${logId ?? '(none)'}, and the change log is ${log.logId}.` });
}

async function isThere(path: string, disk: Disk): Promise<boolean> {
  try {
    await disk.permissions(path);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return false;
    throw openingFailed(`Looking for ${path}`, error);
  }
}
