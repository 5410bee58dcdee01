/** The simulator's source for the tests of the source contract: time passes by itself as long as the fixture lives. */
import { setImmediate } from 'node:timers/promises';
import type { Row, SourceFixture, Write } from '../../contract/source-fixture.ts';
import { Executor } from '../kernel/executor.ts';
import { SimProcess } from '../kernel/sim-process.ts';
import { SimRandom } from '../kernel/sim-random.ts';
import { Trace } from '../kernel/trace.ts';
import { keyText, type HistoryChange } from './history.ts';
import { SimDatabase, type SimTable } from './sim-database.ts';
import type { Cell, SimColumn } from './sim-row.ts';
import { SimServer, type SourceFlavor } from './sim-server.ts';
import { SimSource } from './sim-source.ts';

const BODY = 2;

/** Virtual time that passes in one turn of the real event loop. */
const TURN_MS = 0.5;

/** A write takes longer than a message of the stream: else the stream would never catch up with somebody who writes on and on. */
const WRITE_MS = 3;

const tables = { items: 'public.items', others: 'public.others', foreign: 'public.foreign' } as const;

export class SimFixture implements SourceFixture {
  readonly tables = tables;
  readonly #executor: Executor;
  readonly #random: SimRandom;
  readonly #database: SimDatabase;
  readonly #server: SimServer;
  readonly #passing: Promise<void>;
  #lives = true;
  #processes = 0;

  constructor(seed: number, flavor: SourceFlavor) {
    this.#random = new SimRandom(seed);
    this.#executor = new Executor(this.#random.fork('executor'), new Trace({ keepAll: false }));
    this.#database = new SimDatabase('contract', () => Math.floor(this.#executor.nowMs));
    const column = (name: string, toasted = false): SimColumn => ({ name, kind: 'text', toasted, defaultValue: null });
    for (const table of Object.values(tables)) this.#database.createTable(table, [column('id'), column('name'), column('body', true)]);
    this.#server = new SimServer('contract', this.#database, flavor);
    this.#passing = this.#pass();
  }

  source(): SimSource {
    this.#processes += 1;
    const name = `p${this.#processes}`;
    return new SimSource(this.#server, new SimProcess(name, this.#executor), this.#random.fork(name));
  }

  async commit(writes: readonly Write[]): Promise<void> {
    this.#commit(writes, false);
    await new Promise<void>((resolve) => this.#executor.after(WRITE_MS * (writes.length + 1), 'committed', resolve));
  }

  /** It is in the history already, but nobody sees it. */
  readonly begin = async (writes: readonly Write[]): Promise<{ commit(): Promise<void> }> => {
    const id = this.#commit(writes, true);
    return { commit: async () => this.#database.show(id) };
  };

  async rows(table: string): Promise<Row[]> {
    return [...this.#database.table(table).rows.values()].map(({ values: [id, name, body] }) => ({ id: String(id), name: textOf(name), body: textOf(body) }));
  }

  readonly conditions = { nameIs: (name: string): string => `name = ${JSON.stringify(name)}`, broken: 'name = = 1' };

  readonly rewrite = async (table: string): Promise<void> => this.#database.rewrite(table);

  async cut(): Promise<void> {
    this.#server.cutReader('cut by a test');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lives = false;
    await this.#passing;
  }

  async #pass(): Promise<void> {
    while (this.#lives) {
      await this.#executor.run(() => !this.#lives, this.#executor.nowMs + TURN_MS);
      await setImmediate();
    }
  }

  #commit(writes: readonly Write[], hide: boolean): bigint {
    const states = new Map<string, Map<string, readonly Cell[]>>();
    const stateOf = (table: string): Map<string, readonly Cell[]> => {
      let state = states.get(table);
      if (state === undefined) {
        state = new Map([...this.#database.table(table).rows].map(([key, { values }]) => [key, values]));
        states.set(table, state);
      }
      return state;
    };
    const changes = writes.flatMap((write) => changesOf(write, this.#database.table(write.table), stateOf(write.table)));
    // Room that became free is used again, as it is by real tables: rows stay within the ranges that were planned.
    const place = (table: SimTable): number => {
      const free = this.#random.between(0, table.nextPlace);
      return this.#database.isTaken(table.name, free) ? table.nextPlace : free;
    };
    const { id } = this.#database.commit(changes, { hide, place });
    this.#server.committed();
    return id;
  }
}

/** The changes that a write makes in the state of its table. */
function changesOf(write: Write, { name: table, columns }: SimTable, state: Map<string, readonly Cell[]>): HistoryChange[] {
  const none = new Set<number>();
  // What is not there is not changed.
  if ('id' in write && !state.has(write.id)) return [];
  switch (write.kind) {
    case 'insert': {
      const values = [write.row.id, write.row.name, write.row.body];
      state.set(write.row.id, values);
      return [{ kind: 'insert', table, columns, values, notSent: none }];
    }
    case 'update': {
      const [id, name = null, body = null] = state.get(write.id) ?? [];
      const values = [id as Cell, write.set.name ?? name, write.set.body ?? body];
      state.set(write.id, values);
      return [{ kind: 'update', table, columns, values, notSent: values[BODY] === body && body !== null ? new Set([BODY]) : none }];
    }
    case 'rename': {
      const [, name = null, body = null] = state.get(write.id) ?? [];
      const values = [write.to, name, body];
      state.delete(write.id);
      state.set(write.to, values);
      return [
        { kind: 'delete', table, columns, key: write.id, keyChanged: true },
        { kind: 'insert', table, columns, values, notSent: none },
      ];
    }
    case 'delete':
      state.delete(keyText(write.id));
      return [{ kind: 'delete', table, columns, key: write.id, keyChanged: false }];
    case 'truncate':
      state.clear();
      return [{ kind: 'truncate', table, columns }];
  }
}

function textOf(cell: Cell | undefined): string | null {
  return typeof cell === 'string' ? cell : null;
}
