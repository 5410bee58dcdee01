/** The data directory, before anything in it is opened: there, and for nobody but this account. It holds rows, as a copy of the database does. */
import { systemCodeOf } from '../errors/system-code.ts';
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';
import type { Runtime } from '../runtime/runtime.ts';

/** What the group and others may do, among the permission bits. */
const NOT_THE_OWNER = 0o077;

/**
 * Makes the folder when it is missing (mode 0700), and the `files` in it as empty files (0600): SQLite gives files that it makes itself the permissions
 * of the umask, and those beside a database the ones of the database. A folder that others may enter is named in a log line and used: a volume with the
 * group of a container has such permissions on purpose. Errors: DISK_FULL, DISK_FAILED, STATE_FORBIDDEN.
 */
export async function prepareDataDirectory(path: string, files: readonly string[], { disk, logger }: Pick<Runtime, 'disk' | 'logger'>): Promise<void> {
  await named(`The data directory ${path} cannot be made`, path, async () => disk.makeDirectory(path));
  await named(`The data directory ${path} cannot be used`, path, async () => {
    const permissions = await disk.permissions(path);
    if ((permissions & NOT_THE_OWNER) !== 0) {
      logger.warn('data_directory_open', { path, mode: permissions.toString(8).padStart(4, '0'), hint: `Other accounts may read the rows in it, or change them: chmod -R go= '${path}'` });
    }
    for (const file of files) await makeFile(file, disk);
  });
}

async function makeFile(path: string, disk: Runtime['disk']): Promise<void> {
  try {
    await (await disk.open(path, 'create')).close();
  } catch (error) {
    // It is there from an earlier start.
    if (systemCodeOf(error) !== 'EEXIST') throw error;
  }
}

async function named(what: string, path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    const reason = systemCodeOf(cause);
    // No answer of the system: a defect, which stays what it is.
    if (reason === undefined || codeOf(cause) !== undefined) throw cause;
    const details = { message: `${what}: ${reason}.`, did: 'Nothing was started.', entity: path, cause };
    if (reason === 'ENOSPC' || reason === 'EDQUOT') throw new TailraceError('DISK_FULL', details);
    if (reason === 'EIO') throw new TailraceError('DISK_FAILED', details);
    throw new TailraceError('STATE_FORBIDDEN', { ...details, hint: 'Name a folder that the user who runs tailrace may make and write to: `data_directory`.' });
  }
}
