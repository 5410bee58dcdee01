/** The simulated source connector: what a process uses to talk to a `SimServer`. */
import type { Finding } from '../../../src/connector/finding.ts';
import type { ConnectRequest, Source, SourceSession, TableDescription, TableRequest } from '../../../src/connector/source.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { SimProcess } from '../kernel/sim-process.ts';
import type { SimRandom } from '../kernel/sim-random.ts';
import { ChunkWatch } from './chunk-watch.ts';
import { comparePositions, decodePosition } from './sim-position.ts';
import { declaredSchema, simRowFormat } from './sim-row.ts';
import { SimLink } from './sim-link.ts';
import type { SimServer } from './sim-server.ts';
import { SimSession } from './sim-session.ts';

/** While transactions are under way that a new slot must wait for, it is tried again this often. */
const SLOT_WAIT_MS = 5;

/** What a source gives the engine to remember, and what it gets back. */
export interface SimMemory {
  note(place: number): Uint8Array;
  connects(resume: ConnectRequest['resume']): void;
}

export class SimSource implements Source {
  readonly name: string;
  readonly format = simRowFormat;
  readonly #server: SimServer;
  readonly #process: SimProcess;
  readonly #random: SimRandom;
  readonly #memory: SimMemory | null;

  /** `memory`: what the source remembers, and who checks it; without it, it remembers nothing. */
  constructor(server: SimServer, process: SimProcess, random: SimRandom, memory: SimMemory | null = null) {
    this.#memory = memory;
    this.name = server.name;
    this.#server = server;
    this.#process = process;
    this.#random = random;
  }

  async check(_tables: readonly TableRequest[], signal: AbortSignal): Promise<Finding[]> {
    await this.#link().pass('check', signal);
    return [];
  }

  async describe(tables: readonly TableRequest[], signal: AbortSignal): Promise<TableDescription[]> {
    await this.#link().pass('describe', signal);
    return tables.filter(({ table }) => this.#server.database.tables.has(table)).map(({ table }) => this.#describe(table));
  }

  async connect(request: ConnectRequest, signal: AbortSignal): Promise<SourceSession> {
    const server = this.#server;
    this.#memory?.connects(request.resume);
    const link = this.#link();
    await link.pass('connect', signal);
    if (!server.reachable) throw new TailraceError('SRC_CONN', { message: `The server of ${this.name} refuses connections.` });
    const tables = request.tables.map(({ table }) => this.#describe(table));
    const start = request.resume === null ? await this.#newStart(link, signal) : this.#resumedStart(decodePosition(request.resume.position), request.resume.identity);
    const unproven = await this.#unproven(start, request, signal);
    await link.pass('connect', signal);
    return new SimSession({ server, process: this.#process, random: this.#random.fork('session'), link, tables, start, unproven, memory: this.#memory, watch: new ChunkWatch(server.listener) });
  }

  comparePositions(a: Uint8Array, b: Uint8Array): number {
    return comparePositions(a, b);
  }

  bytesBetween(from: Uint8Array, to: Uint8Array): number {
    return Math.max(0, decodePosition(to) - decodePosition(from));
  }

  formatPosition(position: Uint8Array): string {
    return String(decodePosition(position));
  }

  async dropHistory(signal: AbortSignal): Promise<void> {
    await this.#link().pass('drop slot', signal);
    this.#server.dropSlot();
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #link(): SimLink {
    return new SimLink(this.name, this.#process, this.#random, this.#server.weather, 'SRC_CONN');
  }

  /**
   * Transactions that are in the log, or that the log has passed, and that nobody can see yet. The log knows of the first only: it may have removed
   * their frames, or have had no table of theirs in its config when they came by. What lies before the start the source must know by itself.
   */
  async #unproven(start: number, request: ConnectRequest, signal: AbortSignal): Promise<ReadonlySet<bigint>> {
    const { database } = this.#server;
    const hidden = database.hiddenIds;
    if (hidden.size === 0) return hidden;
    const passed = database.history.filter(({ id, end }) => hidden.has(id) && end <= start).map(({ id }) => id);
    return new Set([...passed, ...(await request.logged(hidden, signal))]);
  }

  #describe(name: string): TableDescription {
    const table = this.#server.database.tables.get(name);
    if (table === undefined) throw new TailraceError('SRC_TABLE_MISSING', { message: `There is no table ${name}.`, entity: name });
    return { table: name, schema: declaredSchema(name, table.columns), estimatedRows: this.#random.chance(0.5) ? table.rows.size : null };
  }

  /** A slot begins where no transaction is under way: whoever reads a table later sees everything from before it. */
  async #newStart(link: SimLink, signal: AbortSignal): Promise<number> {
    const { slot } = this.#server;
    if (slot !== null && !slot.lost) return slot.confirmed;
    while (this.#server.database.hiddenIds.size > 0) await link.pause('wait for slot', SLOT_WAIT_MS, signal);
    return this.#server.makeSlot().confirmed;
  }

  #resumedStart(resume: number, identity: string): number {
    const { slot, database, restoredTo } = this.#server;
    if (identity !== this.#server.identity) throw new TailraceError('SRC_IDENTITY_CHANGED', { message: `The server of ${this.name} is another one than before.` });
    if (slot === null || slot.lost) throw new TailraceError('SRC_HISTORY_LOST', { message: `The history of ${this.name} from ${resume} on is gone.` });
    if (resume < slot.confirmed) throw new TailraceError('SRC_SLOT_AHEAD', { message: `The slot of ${this.name} is at ${slot.confirmed}, the log at ${resume}.` });
    const end = Math.min(database.end, restoredTo);
    if (resume > end) throw new TailraceError('SRC_DIVERGED', { message: `The server of ${this.name} is at ${end}, the log at ${resume}.` });
    return resume;
  }
}
