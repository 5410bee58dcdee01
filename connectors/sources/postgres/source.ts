/** A configured Postgres database as a source. */
import type { Finding } from '../../../src/connector/finding.ts';
import type { RowFormat } from '../../../src/connector/row-format.ts';
import type { ConnectRequest, Source, SourceContext, SourceOutlook, SourceSession, TableDescription, TableRequest } from '../../../src/connector/source.ts';
import type { Runtime } from '../../../src/runtime/runtime.ts';
import { describeTables } from './catalog/describe.ts';
import { checkPostgres } from './check/check-postgres.ts';
import { defaultSlotName, type PostgresConfig } from './config.ts';
import { ControlConnection } from './connection/control-connection.ts';
import type { Query } from './connection/query.ts';
import { errorNames, openSession, type OpeningDeps } from './opening.ts';
import { foresee } from './outlook.ts';
import { bytesBetween, comparePositions, decodePosition, formatLsn } from './position.ts';
import { dropPublication } from './slot/publication.ts';
import { dropSlot } from './slot/slot.ts';
import { createRowCompleter } from './snapshot/row-completer.ts';
import { createSnapshotReader } from './snapshot/snapshot-reader.ts';
import { postgresFormat } from './types/row-format.ts';

export class PostgresSource implements Source {
  readonly name: string;
  readonly format: RowFormat = postgresFormat;
  readonly #runtime: Runtime;
  readonly #opening: OpeningDeps;
  /** Only until the first session: of two daemons that may take over from each other, the one that was started last stays. */
  #mayTakeOver: boolean;

  constructor(config: PostgresConfig, context: SourceContext) {
    const { name, runtime } = context;
    const ownName = defaultSlotName(name);
    this.name = name;
    this.#runtime = runtime;
    this.#mayTakeOver = config.take_over;
    this.#opening = {
      source: name,
      runtime,
      config,
      slot: config.slot ?? ownName,
      publication: config.publication ?? ownName,
      createReading: (deps) => ({ snapshots: createSnapshotReader(deps), completer: createRowCompleter(deps) }),
    };
  }

  async check(tables: readonly TableRequest[], signal: AbortSignal): Promise<Finding[]> {
    return checkPostgres({ config: this.#opening.config, clock: this.#runtime.clock, errors: errorNames(this.#opening) }, tables, signal);
  }

  async describe(tables: readonly TableRequest[], signal: AbortSignal): Promise<TableDescription[]> {
    const { config, publication } = this.#opening;
    await using control = new ControlConnection({ config, errors: errorNames(this.#opening), clock: this.#runtime.clock });
    return await describeTables(async (sql, parameters, s) => control.query(sql, parameters, s), tables, publication, signal);
  }

  async foresee(tables: readonly TableRequest[], isFirst: boolean, signal: AbortSignal): Promise<SourceOutlook> {
    const { config, slot, publication } = this.#opening;
    await using control = new ControlConnection({ config, errors: errorNames(this.#opening), clock: this.#runtime.clock });
    return await foresee({ query: async (sql, parameters, s) => control.query(sql, parameters, s), slot, publication, create: config.create }, tables, isFirst, signal);
  }

  async connect(request: ConnectRequest, signal: AbortSignal): Promise<SourceSession> {
    const session = await openSession({ ...this.#opening, takeOver: this.#mayTakeOver }, request, signal);
    this.#mayTakeOver = false;
    return session;
  }

  comparePositions(a: Uint8Array, b: Uint8Array): number {
    return comparePositions(a, b);
  }

  bytesBetween(from: Uint8Array, to: Uint8Array): number {
    return bytesBetween(from, to);
  }

  formatPosition(position: Uint8Array): string {
    return formatLsn(decodePosition(position).lsn);
  }

  async dropHistory(signal: AbortSignal): Promise<void> {
    const { config, slot, publication } = this.#opening;
    const errors = errorNames(this.#opening);
    await using control = new ControlConnection({ config, errors, clock: this.#runtime.clock });
    const query: Query = async (sql, parameters, s) => control.query(sql, parameters, s);
    await dropSlot(query, slot, this.name, signal);
    await dropPublication({ control, query, publication }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Every connection belongs to a session or to a single call.
  }
}
