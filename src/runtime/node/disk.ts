/** The real disk, through libuv's thread pool, so that a slow fdatasync does not hold up the event loop. */
import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat, statfs, type FileHandle } from 'node:fs/promises';
import { systemCodeOf } from '../../errors/system-code.ts';
import type { Disk, DiskFile } from '../disk.ts';

class NodeFile implements DiskFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    let done = 0;
    while (done < into.length) {
      const { bytesRead } = await this.#handle.read(into, done, into.length - done, position + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return done;
  }

  async write(parts: readonly Uint8Array[], position: number): Promise<void> {
    let pending = parts.filter((part) => part.length > 0);
    let at = position;
    while (pending.length > 0) {
      const { bytesWritten } = await this.#handle.writev(pending, at);
      at += bytesWritten;
      pending = unwritten(pending, bytesWritten);
    }
  }

  async datasync(): Promise<void> {
    await this.#handle.datasync();
  }

  async size(): Promise<number> {
    const { size } = await this.#handle.stat();
    return size;
  }

  async isAt(path: string): Promise<boolean> {
    const own = await this.#handle.stat({ bigint: true });
    try {
      const { dev, ino } = await stat(path, { bigint: true });
      return dev === own.dev && ino === own.ino;
    } catch (error) {
      const code = systemCodeOf(error);
      if (code === 'ENOENT' || code === 'ENOTDIR') return false;
      throw error;
    }
  }

  async truncate(length: number): Promise<void> {
    await this.#handle.truncate(length);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** What is left of `parts` when their first `written` bytes are on disk. */
function unwritten(parts: readonly Uint8Array[], written: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = written;
  for (const part of parts) {
    if (skip >= part.length) skip -= part.length;
    else {
      rest.push(skip === 0 ? part : part.subarray(skip));
      skip = 0;
    }
  }
  return rest;
}

const flagsOf = {
  create: constants.O_CREAT | constants.O_EXCL | constants.O_RDWR,
  readwrite: constants.O_RDWR,
  read: constants.O_RDONLY,
};

export const nodeDisk: Disk = {
  open: async (path, mode) => new NodeFile(await open(path, flagsOf[mode], 0o600)),
  list: async (folder) => (await readdir(folder)).toSorted(),
  makeDirectory: async (folder) => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  },
  permissions: async (path) => (await stat(path)).mode & 0o7777,
  rename: async (from, to) => {
    await rename(from, to);
  },
  remove: async (path) => {
    await rm(path);
  },
  syncDirectory: async (folder) => {
    const handle = await open(folder, constants.O_RDONLY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  freeBytes: async (path) => {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  },
};
