/**
 * A disk in memory that keeps exactly what the contract of `Disk` promises and, as chance wills, nothing more.
 *
 * Model. A file has a cache (what programs see) and a platter (what survives a loss of power), both in sectors of 512 bytes.
 *  - write and truncate change the cache; now and then some changed sectors reach the platter early, in any order.
 *  - datasync brings all changed sectors and the length to the platter. When it fails, some sectors get there; the others stay in the cache but
 *    count as written: no later datasync brings them to the platter, only writing them again does. That is what Linux does.
 *  - names (created, renamed, removed) become durable with syncDirectory of their folder.
 *  - a loss of power leaves each changed sector old or new, the length anywhere between old and new, each name change done or not, independently;
 *    where the length grew over sectors that were never written there are zeros or garbage.
 *  - the crash of a process loses nothing but what it had not yet written; sectors that count as written may fall back to the platter.
 *
 * Use. `mount()` is the `Disk` that one process sees. After `crash` every operation of earlier mounts never settles, those in flight have happened in
 * part, wholly or not at all, and a new mount sees what is left. `onOperation` is asked before every operation: it may delay it by a promise (simulated
 * latency), make it fail, or crash the machine in the middle of it. All chance comes from `random`: the same calls give the same disk.
 */
import { dirname, posix } from 'node:path';
import type { Disk, DiskFile } from '../../src/runtime/disk.ts';
import type { Random } from '../../src/runtime/random.ts';
import { Inode } from './sim-inode.ts';

export type SimOperationKind =
  | 'open'
  | 'create'
  | 'read'
  | 'write'
  | 'datasync'
  | 'size'
  | 'truncate'
  | 'close'
  | 'list'
  | 'makeDirectory'
  | 'permissions'
  | 'rename'
  | 'remove'
  | 'syncDirectory'
  | 'freeBytes';

export interface SimOperation {
  /** Running number over the disk's life, from 0. */
  readonly index: number;
  readonly kind: SimOperationKind;
  readonly path: string;
  /** Bytes to read or write; 0 for others. */
  readonly bytes: number;
}

export type CrashKind = 'power' | 'process';

/** An errno makes the operation fail with it, perhaps half done; `power` and `process` crash in the middle of it. */
export type SimFault = 'EIO' | 'ENOSPC' | 'EACCES' | 'EROFS' | CrashKind;

export interface SimDiskOptions {
  readonly random: Pick<Random, 'fraction'>;
  /** Bytes that all files together may have; more is ENOSPC. */
  readonly capacityBytes?: number;
}

type Interruption = 'failure' | CrashKind;

/** What an operation does: wholly when it succeeds; in part, `share` of it in [0, 1], when it fails or a crash cuts it short. */
interface Effect<T> {
  readonly whole: () => T;
  readonly partly?: Partly;
}

type Partly = (share: number, why: Interruption) => void;

export class SimDisk {
  /** Asked before every operation; may be set at any time. */
  onOperation: ((operation: SimOperation) => SimFault | undefined | Promise<SimFault | undefined>) | undefined;
  /** Called after the machine crashed in the middle of an operation, because `onOperation` said so. */
  onCrash: ((kind: CrashKind) => void) | undefined;
  capacityBytes: number;
  readonly #random: Pick<Random, 'fraction'>;
  readonly #folders = new Set<string>(['/']);
  readonly #durableFolders = new Set<string>(['/']);
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #nameChanges: NameChange[] = [];
  readonly #inFlight = new Set<Partly>();
  #life = 0;
  #operations = 0;
  #openFiles = 0;

  constructor(options: SimDiskOptions) {
    this.#random = options.random;
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY;
  }

  /** How many operations began so far. */
  get operations(): number {
    return this.#operations;
  }

  /** Files that are open in the mount that lives. */
  get openFiles(): number {
    return this.#openFiles;
  }

  /** Bytes of all files that have a name. */
  get usedBytes(): number {
    let bytes = 0;
    for (const inode of this.#names.values()) bytes += inode.length;
    return bytes;
  }

  /** The disk as a process sees it that begins now. */
  mount(): Disk {
    const life = this.#life;
    return {
      open: (path, mode) => this.#open(life, path, mode),
      list: (folder) => this.#operate(life, 'list', folder, 0, { whole: () => this.#list(folder) }),
      makeDirectory: (folder) => this.#operate(life, 'makeDirectory', folder, 0, { whole: () => this.#makeDirectory(folder) }),
      permissions: (path) => this.#operate(life, 'permissions', path, 0, { whole: () => this.#permissions(path) }),
      rename: (from, to) => this.#operate(life, 'rename', from, 0, atomic(() => this.#rename(from, to))),
      remove: (path) => this.#operate(life, 'remove', path, 0, atomic(() => this.#remove(path))),
      syncDirectory: (folder) =>
        this.#operate(life, 'syncDirectory', folder, 0, { whole: () => this.#syncDirectory(folder), partly: (share) => this.#settleNames(share, folder) }),
      freeBytes: (path) => this.#operate(life, 'freeBytes', path, 0, { whole: () => Math.max(0, this.capacityBytes - this.usedBytes) }),
    };
  }

  crash(kind: CrashKind): void {
    this.#life += 1;
    this.#openFiles = 0;
    for (const partly of this.#inFlight) partly(this.#share(), kind);
    this.#inFlight.clear();
    if (kind === 'process') {
      if (this.#random.fraction() < 0.5) for (const inode of this.#names.values()) inode.dropUnwritable();
      return;
    }
    this.#settleNames(this.#share(), undefined);
    this.#nameChanges = [];
    for (const folder of this.#durableFolders) if (!this.#isReachable(folder)) this.#durableFolders.delete(folder);
    for (const path of this.#durableNames.keys()) if (!this.#durableFolders.has(dirname(path))) this.#durableNames.delete(path);
    this.#names = new Map(this.#durableNames);
    this.#folders.clear();
    for (const folder of this.#durableFolders) this.#folders.add(folder);
    for (const inode of new Set(this.#names.values())) inode.losePower(this.#random, this.#share());
  }

  /** Paths of all files, sorted. */
  files(): string[] {
    return [...this.#names.keys()].toSorted();
  }

  /** A copy of what a file holds. */
  contents(path: string): Buffer {
    return Buffer.from(this.#inodeOf(path).view());
  }

  /** Makes a file hold exactly these bytes, durably, as if it had always been so. */
  place(path: string, bytes: Uint8Array): void {
    this.#makeDirectory(dirname(path));
    for (const folder of this.#folders) this.#durableFolders.add(folder);
    const inode = new Inode();
    inode.write(bytes, 0);
    inode.sync();
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
  }

  /** Flips one bit of a file, on the platter and in the cache. */
  flipBit(path: string, bit: number): void {
    this.#inodeOf(path).flip(bit);
  }

  #share(): number {
    // The ends matter most: nothing of it, all of it.
    const chance = this.#random.fraction();
    if (chance < 0.2) return 0;
    if (chance > 0.8) return 1;
    return (chance - 0.2) / 0.6;
  }

  async #operate<T>(life: number, kind: SimOperationKind, path: string, bytes: number, effect: Effect<T>): Promise<T> {
    if (life !== this.#life) return await forever();
    // A function of its own for every operation: the set must not take two for one.
    const partly: Partly = (share, why) => effect.partly?.(share, why);
    const index = this.#operations;
    this.#operations += 1;
    this.#inFlight.add(partly);
    const fault = await this.onOperation?.({ index, kind, path, bytes });
    if (life !== this.#life) return await forever();
    if (fault === 'power' || fault === 'process') {
      this.crash(fault);
      this.onCrash?.(fault);
      return await forever();
    }
    this.#inFlight.delete(partly);
    if (fault === undefined) return effect.whole();
    partly(this.#share(), 'failure');
    throw systemError(fault, kind, path);
  }

  async #open(life: number, path: string, mode: 'create' | 'readwrite' | 'read'): Promise<DiskFile> {
    const kind = mode === 'create' ? 'create' : 'open';
    const inode = await this.#operate(life, kind, path, 0, {
      whole: () => (mode === 'create' ? this.#create(path) : this.#inodeOf(path)),
      ...(mode === 'create' && { partly: atomic(() => this.#create(path)).partly }),
    });
    this.#openFiles += 1;
    return this.#fileOf(life, path, inode, mode !== 'read');
  }

  #fileOf(life: number, path: string, inode: Inode, writable: boolean): DiskFile {
    let open = true;
    const operate = <T>(kind: SimOperationKind, bytes: number, effect: Effect<T>): Promise<T> => {
      if (!open || (!writable && (kind === 'write' || kind === 'truncate'))) throw systemError('EBADF', kind, path);
      return this.#operate(life, kind, path, bytes, effect);
    };
    return {
      read: async (into, position) => await operate('read', into.length, { whole: () => inode.read(into, position) }),
      write: async (parts, position) => {
        const bytes = Buffer.concat(parts);
        await operate('write', bytes.length, {
          whole: () => this.#write(inode, path, bytes, position),
          partly: (share) => inode.write(bytes.subarray(0, Math.floor(bytes.length * share)), position),
        });
      },
      datasync: async () => await operate('datasync', 0, { whole: () => inode.sync(), partly: (share, why) => this.#cutSync(inode, share, why) }),
      size: async () => await operate('size', 0, { whole: () => inode.length }),
      // Looks at names only, which no fault of the disk changes.
      isAt: async (at) => (life === this.#life ? this.#names.get(at) === inode : await forever()),
      truncate: async (length) => await operate('truncate', 0, { whole: () => inode.truncate(length), partly: (share) => share >= 0.5 && inode.truncate(length) }),
      close: async () => {
        await operate('close', 0, { whole: nothing });
        open = false;
        this.#openFiles -= 1;
      },
    };
  }

  #write(inode: Inode, path: string, bytes: Buffer, position: number): void {
    const growth = Math.max(0, position + bytes.length - inode.length);
    const room = Math.max(0, this.capacityBytes - this.usedBytes);
    const written = growth <= room ? bytes : bytes.subarray(0, Math.max(0, bytes.length - (growth - room)));
    inode.write(written, position);
    if (this.#random.fraction() < 0.1) inode.writeBack(this.#random, this.#share());
    if (written.length < bytes.length) throw systemError('ENOSPC', 'write', path);
  }

  /** False for a folder that lies in one whose name was lost. */
  #isReachable(folder: string): boolean {
    return folder === '/' || (this.#durableFolders.has(folder) && this.#isReachable(dirname(folder)));
  }

  #cutSync(inode: Inode, share: number, why: Interruption): void {
    if (why === 'failure') inode.failSync(this.#random, share);
    else inode.writeBack(this.#random, share);
  }

  #inodeOf(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw systemError('ENOENT', 'open', path);
    return inode;
  }

  #create(path: string): Inode {
    if (this.#names.has(path)) throw systemError('EEXIST', 'open', path);
    if (!this.#folders.has(dirname(path))) throw systemError('ENOENT', 'open', path);
    if (this.usedBytes >= this.capacityBytes) throw systemError('ENOSPC', 'open', path);
    const inode = new Inode();
    this.#names.set(path, inode);
    this.#nameChanges.push({ folder: dirname(path), apply: (names) => names.set(path, inode) });
    return inode;
  }

  #list(folder: string): string[] {
    if (!this.#folders.has(folder)) throw systemError('ENOENT', 'list', folder);
    const inside = [...this.#names.keys(), ...this.#folders].filter((path) => path !== '/' && dirname(path) === folder);
    return inside.map((path) => posix.basename(path)).toSorted();
  }

  #makeDirectory(folder: string): void {
    if (this.#folders.has(folder)) return;
    this.#makeDirectory(dirname(folder));
    this.#folders.add(folder);
    this.#nameChanges.push({ folder: dirname(folder), apply: () => this.#durableFolders.add(folder) });
  }

  #permissions(path: string): number {
    if (this.#folders.has(path)) return 0o700;
    this.#inodeOf(path);
    return 0o600;
  }

  #rename(from: string, to: string): void {
    const inode = this.#inodeOf(from);
    this.#names.delete(from);
    this.#names.set(to, inode);
    this.#nameChanges.push({
      folder: dirname(to),
      apply: (names) => {
        names.delete(from);
        names.set(to, inode);
      },
    });
  }

  #remove(path: string): void {
    this.#inodeOf(path);
    this.#names.delete(path);
    this.#nameChanges.push({ folder: dirname(path), apply: (names) => names.delete(path) });
  }

  #syncDirectory(folder: string): void {
    if (!this.#folders.has(folder)) throw systemError('ENOENT', 'syncDirectory', folder);
    this.#settleNames(1, folder);
    this.#nameChanges = this.#nameChanges.filter((change) => change.folder !== folder);
  }

  /** Lets each pending change of a folder's names, or of all, become durable with the given chance. */
  #settleNames(share: number, folder: string | undefined): void {
    for (const change of this.#nameChanges) {
      if (folder !== undefined && change.folder !== folder) continue;
      if (share >= 1 || this.#random.fraction() < share) change.apply(this.#durableNames);
    }
  }
}

interface NameChange {
  readonly folder: string;
  readonly apply: (durable: Map<string, Inode>) => unknown;
}

function systemError(code: string, kind: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${kind} ${path}`), { code });
}

function systemCode(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
}

/** What happens wholly or not at all: not when it fails, perhaps when the machine crashes. */
function atomic(change: () => unknown): { readonly whole: () => void; readonly partly: Partly } {
  return {
    whole: change,
    partly: (share, why) => {
      if (why === 'failure' || share < 0.5) return;
      try {
        change();
      } catch (error) {
        // It would have failed anyway, and nobody is left to be told.
        if (systemCode(error) === undefined) throw error;
      }
    },
  };
}

function nothing(): void {}

/** The operation of a process that is no more. */
function forever(): Promise<never> {
  return new Promise(() => {});
}
