/** Puts the data sets into a database. */
import { Client } from 'pg';
import { movieColumns, readMovies, readSynsets, type Movie } from './datasets.ts';

export interface Loaded {
  readonly movies: number;
  readonly synsets: number;
}

const movieNames = Object.keys(movieColumns);
const quoted = (name: string): string => `"${name}"`;

const tables = `
  CREATE TABLE movies (id integer PRIMARY KEY, ${Object.entries(movieColumns).map(([name, type]) => `${quoted(name)} ${type}`).join(', ')}, review text);
  CREATE TABLE synsets (pos text, place bigint, words text[], gloss text, notes jsonb, seen timestamptz, PRIMARY KEY (pos, place));
`;

/** Rows per statement. */
const ROWS_PER_INSERT = 2_000;

export async function createTables(url: string): Promise<void> {
  await connected(url, async (client) => client.query(tables));
}

/** The rows from one share of each data set to another: 0 is its beginning, 1 its end. */
export async function load(url: string, synsetsMax: number, from = 0, to = 1): Promise<Loaded> {
  return connected(url, async (client) => {
    const movies = share(readMovies().map((movie: Movie, i) => ({ id: i + 1, ...movie })), from, to);
    await client.query(`INSERT INTO movies (id, ${movieNames.map(quoted).join(', ')}) SELECT * FROM jsonb_to_recordset($1) AS m(id integer, ${Object.entries(movieColumns).map(([name, type]) => `${quoted(name)} ${type}`).join(', ')})`, [JSON.stringify(movies)]);
    const synsets = share(await readSynsets(synsetsMax), from, to);
    for (let at = 0; at < synsets.length; at += ROWS_PER_INSERT) {
      const rows = synsets.slice(at, at + ROWS_PER_INSERT);
      await client.query('INSERT INTO synsets (pos, place, words, gloss) SELECT pos, place, words, gloss FROM jsonb_to_recordset($1) AS s(pos text, place bigint, words text[], gloss text)', [JSON.stringify(rows)]);
    }
    await client.query('VACUUM ANALYZE movies');
    await client.query('VACUUM ANALYZE synsets');
    return { movies: movies.length, synsets: synsets.length };
  });
}

function share<T>(rows: readonly T[], from: number, to: number): T[] {
  return rows.slice(Math.floor(rows.length * from), Math.floor(rows.length * to));
}

async function connected<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
