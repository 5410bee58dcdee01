/**
 * Damage as somebody, or something, may do to an index behind tailrace's back: each kind with the documents that it concerns and what is to be found
 * of it; and the ways to do it to a SQLite file and to an OpenSearch index.
 */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { DifferenceKind } from '../../src/verify/difference.ts';
import type { OpenSearchServer } from './opensearch.ts';
import { eventually } from './servers.ts';

/** A document where it lies; JSON text. */
export interface Lying {
  readonly version: bigint;
  readonly document: string;
}

/** The way to what a target holds, past tailrace. */
export interface Hand {
  read(id: string): Promise<Lying | null>;
  /** Whatever was there before, and whatever version it had. */
  write(id: string, lying: Lying): Promise<void>;
  erase(ids: readonly string[]): Promise<void>;
}

/** What a damage is to be found as, by document id. */
export type Finding = Readonly<Record<string, DifferenceKind>>;

export interface Scene {
  readonly hand: Hand;
  /** The document of an id as it was before an update that has been applied since. */
  readonly earlier: ReadonlyMap<string, Lying>;
  /** A version that the log has not come to. */
  readonly future: bigint;
  readonly epochBit: bigint;
}

export interface Damage {
  readonly name: string;
  readonly do: (scene: Scene) => Promise<Finding>;
}

/** The id of row `n` of the table that is damaged: `part` is the second column of its key. */
export const idOf = (n: number): string => `item-${n}:${n % 7}`;

/** A row whose id has everything in it that is written otherwise. */
export const ODD = { id: 'a:b %25 /é😀"\\', part: 3 };
export const ODD_ID = 'a%3Ab %2525 /é😀"\\:3';

/** A row that `where` leaves out. */
export const FILTERED = 200;

const lies = async ({ hand }: Scene, id: string): Promise<Lying> => {
  const held = await hand.read(id);
  if (held === null) throw new Error(`there is no document ${id} to be damaged`);
  return held;
};

/** Other text at the same version. */
function text(name: string, n: number, change: (document: string) => string, how: DifferenceKind = 'altered'): Damage {
  return {
    name,
    do: async (scene) => {
      const held = await lies(scene, idOf(n));
      const document = change(held.document);
      if (document === held.document) throw new Error(`${name} changes nothing in ${document}`);
      await scene.hand.write(idOf(n), { ...held, document });
      return { [idOf(n)]: how };
    },
  };
}

function version(name: string, n: number, change: (version: bigint, scene: Scene) => bigint): Damage {
  return {
    name,
    do: async (scene) => {
      const held = await lies(scene, idOf(n));
      await scene.hand.write(idOf(n), { ...held, version: change(held.version, scene) });
      return { [idOf(n)]: 'wrong_version' };
    },
  };
}

const gone = (name: string, ...ids: readonly string[]): Damage => ({
  name,
  do: async ({ hand }) => {
    await hand.erase(ids);
    return Object.fromEntries(ids.map((id) => [id, 'missing' as const]));
  },
});

const put = (name: string, id: string, lying: (scene: Scene) => Promise<Lying>, how: DifferenceKind): Damage => ({
  name,
  do: async (scene) => {
    await scene.hand.write(id, await lying(scene));
    return { [id]: how };
  },
});

/** The last one alone is not JSON, which not every target can be made to hold. */
export const damages: readonly Damage[] = [
  gone('a missing document', idOf(1)),
  gone('a missing document whose id has odd characters', ODD_ID),
  gone('a whole range missing', ...Array.from({ length: 60 }, (_, i) => idOf(100 + i))),
  put('an extra document, of a key that no row has', 'nobody:1', async (scene) => lies(scene, idOf(2)), 'extra'),
  put('an extra document whose id no key can have', 'no key %zz', async (scene) => lies(scene, idOf(2)), 'extra'),
  put('an extra document of a key with too few parts', 'item-2', async (scene) => lies(scene, idOf(2)), 'extra'),
  put('an extra document of a key that is of another type', 'item-2:two', async (scene) => lies(scene, idOf(2)), 'extra'),
  put('an extra document from the future', 'nobody:2', async (scene) => ({ ...(await lies(scene, idOf(2))), version: scene.future }), 'extra'),
  put('a document of a row that is filtered out', idOf(FILTERED), async (scene) => lies(scene, idOf(2)), 'extra'),
  put('a stale document: an update that never came', idOf(3), async ({ earlier }) => earlier.get(idOf(3)) as Lying, 'stale'),
  text('an altered text', 4, (document) => document.replace('"title":"name 4"', '"title":"Name 4"')),
  text('a truncated text', 5, (document) => document.replace(/"note":"[^"]*"/, '"note":"a note of s"')),
  text('an altered number', 6, (document) => document.replace('"stock":6', '"stock":7')),
  text('a digit lost behind the point', 7, (document) => document.replace(/"price":(\d+\.\d)0/, '"price":$1')),
  text('a number as text: the wrong type', 8, (document) => document.replace('"stock":8', '"stock":"8"')),
  text('an extra field', 9, (document) => document.replace('{', '{"uninvited":true,')),
  text('a lost field', 10, (document) => document.replace(/,"note":"[^"]*"/, '')),
  text('a field that became null', 11, (document) => document.replace('"title":"name 11"', '"title":null')),
  text('an array that lost an element', 12, (document) => document.replace('["red","12"]', '["red"]')),
  text('an array in another order', 13, (document) => document.replace('["red","13"]', '["13","red"]')),
  text('an empty document', 14, () => '{}'),
  put('the document of another key', idOf(15), async (scene) => ({ ...(await lies(scene, idOf(16))), version: (await lies(scene, idOf(15))).version }), 'altered'),
  version('a version from the future', 17, (_, { future }) => future),
  version('a version of another epoch', 18, (held, { epochBit }) => held + epochBit),
  version('a version before the first change', 19, () => 7n),
  put('two at once: other text, and a version from the future', idOf(20), async (scene) => ({ version: scene.future, document: (await lies(scene, idOf(20))).document.replace('name 20', 'name 02') }), 'wrong_version'),
  put('two at once: fields altered and one lost', idOf(21), async (scene) => {
    const held = await lies(scene, idOf(21));
    return { ...held, document: held.document.replace('name 21', 'name 12').replace(/,"note":"[^"]*"/, '') };
  }, 'altered'),
];

export const unreadable: Damage = text('something that is no JSON', 22, (document) => document.slice(0, -5), 'unreadable');

/** The embedded target's file in a data directory. */
export class SqliteHand implements Hand, Disposable {
  readonly #db: DatabaseSync;
  readonly #table: string;

  constructor(folder: string, index: string) {
    this.#db = new DatabaseSync(join(folder, 'search.db'), { timeout: 10_000 });
    const { number } = this.#db.prepare('SELECT number FROM tailrace_generations WHERE index_name = ? AND promoted = 1').get(index) as { number: number };
    this.#table = `tailrace_${number}_documents`;
  }

  async read(id: string): Promise<Lying | null> {
    const statement = this.#db.prepare(`SELECT version, document FROM ${this.#table} WHERE id = ? AND document IS NOT NULL`);
    statement.setReadBigInts(true);
    const row = statement.get(id);
    return Promise.resolve(row === undefined ? null : { version: row['version'] as bigint, document: row['document'] as string });
  }

  async write(id: string, { version: at, document }: Lying): Promise<void> {
    this.#db.prepare(`INSERT INTO ${this.#table} (id, version, document) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET version = ?2, document = ?3`).run(id, at, document);
    return Promise.resolve();
  }

  async erase(ids: readonly string[]): Promise<void> {
    for (const id of ids) this.#db.prepare(`DELETE FROM ${this.#table} WHERE id = ?`).run(id);
    return Promise.resolve();
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}

/** An index of OpenSearch by its own name. What it remembers of deletes is in the way of older versions, and is made to be forgotten. */
export class OpenSearchHand implements Hand {
  readonly #server: OpenSearchServer;
  readonly #index: string;

  constructor(server: OpenSearchServer, index: string) {
    this.#server = server;
    this.#index = index;
  }

  async read(id: string): Promise<Lying | null> {
    const answer = await fetch(this.#url(id));
    if (answer.status === 404) return null;
    // Letter by letter: parsed and written again, digits would be lost.
    const said = await answer.text();
    const at = said.indexOf('"_source":');
    const [, held = ''] = /"_version":(\d+)/.exec(said) ?? [];
    return { version: BigInt(held), document: said.slice(at + '"_source":'.length, -1) };
  }

  async write(id: string, { version: at, document }: Lying): Promise<void> {
    await this.#server.ask('PUT', `/${this.#index}/_mapping`, { dynamic: true });
    await this.#server.ask('PUT', `/${this.#index}/_settings`, { index: { gc_deletes: '0s' } });
    await this.#server.request('DELETE', this.#path(id));
    await eventually('the delete is forgotten', 20_000, async () => {
      await this.#server.ask('POST', `/${this.#index}/_refresh`);
      const { status, body } = await this.#server.request('PUT', `${this.#path(id)}?version=${at}&version_type=external`, document);
      if (status !== 409 && status > 299) throw new Error(JSON.stringify(body));
      return status < 300;
    });
    await this.#server.ask('PUT', `/${this.#index}/_settings`, { index: { gc_deletes: '1h' } });
  }

  async erase(ids: readonly string[]): Promise<void> {
    for (const id of ids) await this.#server.ask('DELETE', this.#path(id));
  }

  #path(id: string): string {
    return `/${this.#index}/_doc/${encodeURIComponent(id)}`;
  }

  #url(id: string): string {
    return `${this.#server.url}${this.#path(id)}`;
  }
}
