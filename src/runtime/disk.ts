/**
 * The disk as the change log needs it. Errors carry Node's `code` (`ENOSPC`, `EIO`, `ENOENT`, ...).
 *
 * Only what was written before a `datasync` that resolved survives a crash; a created, renamed or removed name survives
 * only after `syncDirectory` of its folder resolved. After a `datasync` that rejected nothing may be assumed of what was written.
 */

export interface DiskFile {
  /** Bytes read into `into` from `position`; fewer than asked for only at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** Writes all of `parts`, one behind the other, from `position`. */
  write(parts: readonly Uint8Array[], position: number): Promise<void>;
  datasync(): Promise<void>;
  size(): Promise<number>;
  /** True while the name leads to this very file: false when it was removed, renamed, or another file took its place. */
  isAt(path: string): Promise<boolean>;
  truncate(length: number): Promise<void>;
  close(): Promise<void>;
}

export interface Disk {
  /** `create` fails with EEXIST when the file is there, and makes one that only this account may open; `readwrite` and `read` fail with ENOENT when it is not. */
  open(path: string, mode: 'create' | 'readwrite' | 'read'): Promise<DiskFile>;
  /** Names in a folder, sorted; rejects with ENOENT when it is not there. */
  list(folder: string): Promise<string[]>;
  /** Makes the folder and those around it that are missing, for this account alone. One that is there stays as it is. */
  makeDirectory(folder: string): Promise<void>;
  /** Permission bits of a file or folder: `0o700`. Rejects with ENOENT when it is not there. */
  permissions(path: string): Promise<number>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  syncDirectory(folder: string): Promise<void>;
  /** Bytes that an ordinary user may still write on the disk that holds `path`. */
  freeBytes(path: string): Promise<number>;
}
