/**
 * What the log knows of one source between two connections, in its registers: whose history it is, how far that is logged, which tables are read,
 * and which of them are yet to be read from their beginning.
 */
import { FrameKind, type LogStore, type RegisterUpdate } from '../connector/log-store.ts';
import type { Beginnings, SourceSession } from '../connector/source.ts';
import { beginningRegister, decodeResumePoint, decodeTables, encodeResumePoint, encodeTables, identityRegister, positionRegister, stateRegister, tablesRegister, type ResumePoint } from './resume-point.ts';
import { RunningSnapshot } from './running-snapshot.ts';
import type { SchemaRegistry } from './schema-registry.ts';
import { isOver, rangesIn, snapshotsIn } from './snapshot-state.ts';

export interface SourceRegistersDeps {
  readonly source: string;
  /** Tables that are read now. */
  readonly tables: ReadonlySet<string>;
  readonly log: Pick<LogStore, 'registers' | 'append'>;
  readonly schemas: SchemaRegistry;
}

export class SourceRegisters {
  readonly #deps: SourceRegistersDeps;

  constructor(deps: SourceRegistersDeps) {
    this.#deps = deps;
  }

  /** Null while nothing of the source is in the log. */
  get identity(): string | null {
    const register = this.#get(identityRegister);
    return register === undefined ? null : Buffer.from(register).toString();
  }

  /** Up to here everything is in the log and durable; null while nothing is. */
  get resumePoint(): ResumePoint | null {
    const register = this.#get(positionRegister);
    return register === undefined ? null : decodeResumePoint(register);
  }

  /** What the source gave to `ChangeSink.remember`. */
  get state(): Uint8Array | null {
    return this.#get(stateRegister) ?? null;
  }

  get beginnings(): Beginnings {
    const { source, log } = this.#deps;
    const has = (identity: string): boolean => this.#beginning === identity;
    return {
      has,
      note: async (identity, signal) => {
        const registers = [[beginningRegister(source), Buffer.from(identity)] as const];
        if (!has(identity)) await log.append({ kind: FrameKind.control, source, snapshot: 0, entries: Buffer.alloc(0), count: 0, transactions: [], registers }, signal);
      },
    };
  }

  /** Snapshots that are not over. */
  get snapshots(): RunningSnapshot[] {
    const { source, log } = this.#deps;
    const unfinished = snapshotsIn(log.registers).filter((snapshot) => snapshot.source === source && !isOver(snapshot));
    return unfinished.map((snapshot) => new RunningSnapshot(snapshot, rangesIn(log.registers, snapshot), true));
  }

  /** Of a source whose history begins to be logged. */
  first({ identity, start }: Pick<SourceSession, 'identity' | 'start'>): RegisterUpdate[] {
    const { source, tables } = this.#deps;
    return [
      [identityRegister(source), Buffer.from(identity)],
      [positionRegister(source), encodeResumePoint({ position: start, partial: null, laterPartials: [] })],
      [tablesRegister(source), encodeTables(tables)],
      ...(this.#beginning === null ? [] : [[beginningRegister(source), null] as const]),
      // What is left of a history that was given up says nothing about this one.
      ...(this.state === null ? [] : [[stateRegister(source), null] as const]),
    ];
  }

  /**
   * Tables that come back: they lack the changes of the time when they were not read, so they are read again. One that the log has never had is
   * left to whoever asks for it.
   */
  get returning(): string[] {
    const { source, tables, schemas } = this.#deps;
    const register = this.#get(tablesRegister);
    if (register === undefined) return [];
    const before = decodeTables(register);
    const known = new Set(schemas.all().flatMap((schema) => (schema.source === source ? [schema.table] : [])));
    return [...tables].filter((table) => !before.has(table) && known.has(table));
  }

  /** Says which tables are read from here on, when others were; to be durable before the position moves. */
  get changedTables(): RegisterUpdate[] {
    const tables = encodeTables(this.#deps.tables);
    const register = this.#get(tablesRegister);
    return register !== undefined && Buffer.compare(register, tables) === 0 ? [] : [[tablesRegister(this.#deps.source), tables]];
  }

  /** Null when no first start is under way. */
  get #beginning(): string | null {
    const register = this.#get(beginningRegister);
    return register === undefined ? null : Buffer.from(register).toString();
  }

  #get(name: (source: string) => string): Uint8Array | undefined {
    return this.#deps.log.registers.get(name(this.#deps.source));
  }
}
