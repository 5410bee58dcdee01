/** Somebody has parts of tables read again, steers the snapshots that do it, and reads rows as of a seq. */
import { EVERYONE } from '../../../src/capture/snapshot-state.ts';
import type { Selection } from '../../../src/connector/source.ts';
import { codeOf, isAbort } from '../../../src/errors/tailrace-error.ts';
import type { Connection } from '../../../src/capture/capture.ts';
import { generationName } from '../../../src/state/state-store.ts';
import { auditRowsAt } from '../audit/g07-rows-at.ts';
import type { SimRandom } from '../kernel/sim-random.ts';
import { FAILING } from '../source/sim-selection.ts';
import { keyOf } from '../source/sim-row.ts';
import { describeError } from './daemon.ts';
import { NUMBER_FROM, type IndexPlan } from './plan.ts';
import type { World } from './world.ts';

const REASON = 'somebody asked';

/** While something is paused when all should come to rest, it is looked at this often. */
const LOOK_EVERY_MS = 200;

/** What a source may answer while it is away, or when it has nothing to steer any more. */
const ANSWERS: ReadonlySet<string> = new Set(['USAGE', 'SRC_SELECTION', 'SRC_CONN', 'SRC_SLOT_IN_USE', 'SRC_HISTORY_LOST', 'SRC_SNAPSHOT_STALLED', 'DISK_FAILED', 'DISK_FULL']);

export class Selections {
  readonly #world: World;
  readonly #random: SimRandom;

  constructor(world: World, random: SimRandom) {
    this.#world = world;
    this.#random = random;
  }

  act(): void {
    const random = this.#random;
    const index = random.pick(this.#world.indices);
    const what = random.weighted({ request: 4, steer: 4, read: 2 });
    this.#ask(index, async (connection, signal) => {
      if (what === 'request') await this.#request(index, connection, signal);
      else if (what === 'steer') await this.#steer(index, connection, signal);
      else await this.#read(index, connection, signal);
    });
  }

  /** What is paused goes on. */
  resumeAll(): void {
    const { daemon, executor, indices } = this.#world;
    for (const { name, snapshots } of daemon?.status?.sources ?? []) {
      const index = indices.find(({ source }) => source === name);
      if (index === undefined) continue;
      for (const { number, paused } of snapshots) if (paused) this.#ask(index, async (connection, signal) => void (await connection.resumeSnapshot(number, signal)));
    }
    executor.after(LOOK_EVERY_MS, 'look for what is paused', () => this.resumeAll());
  }

  #ask(index: IndexPlan, work: (connection: Connection, signal: AbortSignal) => Promise<void>): void {
    const { daemon, findings } = this.#world;
    const { signal } = new AbortController();
    const asked = daemon?.ask(async (pipeline) => work(await pipeline.connection(index.source, signal), signal));
    asked?.catch((error: unknown) => {
      const code = codeOf(error);
      // Whatever ends a connection is judged by its own.
      findings.expect('stop', isAbort(error) || code?.startsWith('SRC_') === true || code?.startsWith('LOG_') === true || (code !== undefined && ANSWERS.has(code)), () => `a selection is answered with ${describeError(error)}`);
    });
  }

  async #request({ source, table, name }: IndexPlan, connection: Connection, signal: AbortSignal): Promise<void> {
    const selection = this.#selection();
    const isAll = selection.kind === 'all';
    const record = this.#world.record(name);
    const own = record === undefined || isAll || this.#random.chance(0.5) ? EVERYONE : generationName(record.index, record.generation);
    this.#world.executor.note(`somebody asks for ${selection.kind} of ${table} of ${source} for ${own}`);
    this.#world.coverage.saw(isAll ? 'a whole table was read for everyone' : selection.kind === 'keys' ? 'keys were read' : 'a condition was read');
    await connection.requestSnapshot({ table, selection, for: [own], reason: REASON, sweep: isAll }, signal);
  }

  async #steer({ source }: IndexPlan, connection: Connection, signal: AbortSignal): Promise<void> {
    const snapshots = this.#world.daemon?.status?.sources.find(({ name }) => name === source)?.snapshots ?? [];
    if (snapshots.length === 0) return;
    const { number, paused, reason } = this.#random.pick(snapshots);
    // What an index is built from is cancelled by who knows what it is for.
    if (paused) await connection.resumeSnapshot(number, signal);
    else if (reason === REASON && this.#random.chance(0.4)) await connection.cancelSnapshot(number, signal);
    else {
      this.#world.executor.after(this.#random.real(10, 2_000), 'what is paused goes on', () => this.#resume(source, number));
      await connection.pauseSnapshot(number, signal);
    }
  }

  #resume(source: string, number: number): void {
    const index = this.#world.indices.find((planned) => planned.source === source);
    if (index !== undefined) this.#ask(index, async (connection, signal) => void (await connection.resumeSnapshot(number, signal)));
  }

  async #read({ source, table }: IndexPlan, connection: Connection, signal: AbortSignal): Promise<void> {
    const { findings, book, coverage, plan } = this.#world;
    coverage.saw('rows were read as of a seq');
    const selection = this.#selection();
    for await (const rows of connection.readAt({ table, selection }, signal)) {
      if (rows.changed.size > 0) coverage.saw('a key changed while rows were read as of a seq');
      // Where history was lost, or a table came later, the log has words that are not the last.
      if (plan.faults.historyLost === Infinity && plan.faults.stateRestored === Infinity && !plan.indices.some(({ late }) => late)) auditRowsAt(findings, book, source, table, rows);
      if (this.#random.chance(0.02)) break;
    }
  }

  #selection(): Selection {
    const random = this.#random;
    const { keys } = this.#world.plan.workload;
    const kind = random.weighted({ keys: 5, where: 2, all: 1 });
    if (kind === 'all') return { kind };
    if (kind === 'where') return { kind, predicate: random.chance(0.1) ? `${FAILING} = 1` : `n ${random.pick(['<', '>='])} ${NUMBER_FROM}` };
    // Also keys that no row ever has.
    const ids = Array.from({ length: random.between(1, 30) }, () => random.between(1, keys + 3)).map((number) => (number % 7 === 0 ? `k:${number}%` : `k${number}`));
    return { kind, keys: ids.map((id) => keyOf(id)) };
  }
}
