/**
 * Random writes: inserts, updates of small and of out-of-line values, changes of key, deletes; single statements, transactions of many, and
 * some that are rolled back whole or to a savepoint. Each writer has rows of its own, so that none waits for another.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';

export interface WorkloadOptions {
  readonly url: string;
  readonly seed: number;
  readonly operations: number;
  readonly writers: number;
  /** The operations are spread over about this long. */
  readonly durationMs: number;
}

export interface WorkloadCounts {
  inserts: number;
  updates: number;
  keyChanges: number;
  deletes: number;
  rolledBack: number;
}

/** Statement and values. */
type Statement = readonly [sql: string, values: readonly unknown[]];

/** mulberry32: small, fast, good enough to choose rows by. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export async function runWorkload(options: WorkloadOptions): Promise<WorkloadCounts> {
  const counts: WorkloadCounts = { inserts: 0, updates: 0, keyChanges: 0, deletes: 0, rolledBack: 0 };
  await Promise.all(Array.from({ length: options.writers }, (_, i) => new Writer(options, i, counts).run()));
  return counts;
}

/** What a writer does to one table whose rows are its own. */
interface TableWriter {
  readonly ids: number[];
  insert(id: number): Statement;
  update(id: number): Statement;
  changeKey(id: number, to: number): Statement;
  remove(id: number): Statement;
}

class Writer {
  readonly #options: WorkloadOptions;
  readonly #counts: WorkloadCounts;
  readonly #number: number;
  readonly #random: () => number;
  #nextId: number;

  constructor(options: WorkloadOptions, number: number, counts: WorkloadCounts) {
    this.#options = options;
    this.#number = number;
    this.#counts = counts;
    this.#random = randomFrom(options.seed * 1000 + number);
    this.#nextId = 1_000_000_000 + number;
  }

  async run(): Promise<void> {
    const { url, writers, operations, durationMs } = this.#options;
    const client = new Client({ connectionString: url });
    await client.connect();
    try {
      const tables = [await this.#movies(client), await this.#synsets(client)];
      const mine = Math.floor(operations / writers);
      const startedMs = performance.now();
      let done = 0;
      while (done < mine) {
        const size = this.#random() < 0.5 ? 1 : 1 + Math.floor(this.#random() * 20);
        await this.#transaction(client, tables, Math.min(size, mine - done));
        done += size;
        const aheadMs = (done / mine) * durationMs - (performance.now() - startedMs);
        if (aheadMs > 5) await sleep(aheadMs);
      }
    } finally {
      await client.end();
    }
  }

  async #transaction(client: Client, tables: readonly TableWriter[], size: number): Promise<void> {
    const fate = this.#random();
    const undo: (() => void)[] = [];
    await client.query('BEGIN');
    for (let i = 0; i < size; i += 1) {
      const table = this.#pick(tables);
      const [[sql, values], takeBack] = this.#operation(table);
      await client.query(sql, [...values]);
      undo.push(takeBack);
      if (fate > 0.95 && i === size >> 1) {
        await client.query('SAVEPOINT half');
        const [[again, more], takeBackAgain] = this.#operation(this.#pick(tables));
        await client.query(again, [...more]);
        await client.query('ROLLBACK TO SAVEPOINT half');
        takeBackAgain();
      }
    }
    if (fate >= 0.05) {
      await client.query('COMMIT');
      return;
    }
    await client.query('ROLLBACK');
    for (const takeBack of undo.toReversed()) takeBack();
    this.#counts.rolledBack += size;
  }

  /** A statement, and what takes it back in this writer's own books. */
  #operation(table: TableWriter): readonly [Statement, () => void] {
    const { ids } = table;
    const kind = ids.length === 0 ? 0 : this.#random();
    if (kind < 0.3) {
      const id = this.#newId();
      ids.push(id);
      this.#counts.inserts += 1;
      return [table.insert(id), () => void ids.splice(ids.indexOf(id), 1)];
    }
    const place = Math.floor(this.#random() * ids.length);
    const id = ids[place] as number;
    if (kind < 0.7) {
      this.#counts.updates += 1;
      return [table.update(id), () => {}];
    }
    if (kind < 0.85) {
      const to = this.#newId();
      ids[place] = to;
      this.#counts.keyChanges += 1;
      return [table.changeKey(id, to), () => void (ids[ids.indexOf(to)] = id)];
    }
    ids[place] = ids.at(-1) as number;
    ids.pop();
    this.#counts.deletes += 1;
    return [table.remove(id), () => void ids.push(id)];
  }

  #newId(): number {
    this.#nextId += this.#options.writers;
    return this.#nextId;
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.#random() * from.length)] as T;
  }

  /** Text that does not compress, so that it is stored out of line: unchanged by an update it is not sent. */
  #longText(): string {
    return Array.from({ length: 1200 }, () => Math.floor(this.#random() * 2 ** 32).toString(36)).join(' ');
  }

  async #movies(client: Client): Promise<TableWriter> {
    const { rows } = await client.query<{ id: number }>('SELECT id FROM movies WHERE id % $1 = $2 ORDER BY id', [this.#options.writers, this.#number]);
    return {
      ids: rows.map(({ id }) => id),
      insert: (id) => ['INSERT INTO movies (id, "Title", "US Gross", review) VALUES ($1, $2, $3, $4)', [id, `Film ${id}`, Math.floor(this.#random() * 2 ** 50), this.#random() < 0.2 ? this.#longText() : null]],
      update: (id) =>
        this.#pick<() => Statement>([
          () => ['UPDATE movies SET "IMDB Votes" = coalesce("IMDB Votes", 0) + 1 WHERE id = $1', [id]],
          () => ['UPDATE movies SET "Title" = "Title" || $2 WHERE id = $1', [id, ' ✓']],
          () => ['UPDATE movies SET review = $2 WHERE id = $1', [id, this.#longText()]],
          () => ['UPDATE movies SET "IMDB Rating" = NULL, "Worldwide Gross" = $2 WHERE id = $1', [id, `${Math.floor(this.#random() * 1e9)}.${id % 100}`]],
        ])(),
      changeKey: (id, to) => ['UPDATE movies SET id = $2 WHERE id = $1', [id, to]],
      remove: (id) => ['DELETE FROM movies WHERE id = $1', [id]],
    };
  }

  async #synsets(client: Client): Promise<TableWriter> {
    // A synset of the file is known by its place and part of speech; only those of one part are written to, so that the place is enough.
    const { rows } = await client.query<{ place: string }>('SELECT place FROM synsets WHERE pos = $3 AND place % $1 = $2 ORDER BY place', [this.#options.writers, this.#number, 's']);
    return {
      ids: rows.map(({ place }) => Number(place)),
      insert: (id) => ['INSERT INTO synsets (pos, place, words, gloss, seen) VALUES ($1, $2, $3, $4, now())', ['s', id, ['new', `word "${id}"`, null], 'a new one']],
      update: (id) =>
        this.#pick<() => Statement>([
          () => ['UPDATE synsets SET gloss = gloss || $3 WHERE pos = $1 AND place = $2', ['s', id, ' (seen)']],
          () => ['UPDATE synsets SET words = words || $3::text WHERE pos = $1 AND place = $2', ['s', id, `more, ${id}`]],
          () => ['UPDATE synsets SET notes = $3 WHERE pos = $1 AND place = $2', ['s', id, JSON.stringify({ n: id, deep: [1.1, 1e3, null, { long: this.#longText() }] })]],
          () => ['UPDATE synsets SET seen = $3 WHERE pos = $1 AND place = $2', ['s', id, new Date(Math.floor(this.#random() * 4e12)).toISOString()]],
        ])(),
      changeKey: (id, to) => ['UPDATE synsets SET place = $3 WHERE pos = $1 AND place = $2', ['s', id, to]],
      remove: (id) => ['DELETE FROM synsets WHERE pos = $1 AND place = $2', ['s', id]],
    };
  }
}
