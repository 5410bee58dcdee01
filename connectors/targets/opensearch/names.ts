/** What tailrace calls things at a cluster: a generation's index, the alias it is written through, the alias that readers use. */

/** Limit of OpenSearch and Elasticsearch for the name of an index or alias. */
const NAME_BYTES_MAX = 255;

/** What may stand behind an index's name in the longest name made of it: `-g999999999-w999999999-0123456789abcdef`. */
const SUFFIX_BYTES = 40;

/** `products-g0003`: the index that holds the documents. */
export function generationIndex(index: string, generation: number): string {
  return `${index}-g${String(generation).padStart(4, '0')}`;
}

/** The index and number that a generation's index is named after, or undefined for any other name. */
export function parseGenerationIndex(name: string): { readonly index: string; readonly generation: number } | undefined {
  const match = /^(.+)-g(\d{4,9})$/.exec(name);
  if (match === null) return undefined;
  const [, index = '', digits = ''] = match;
  const generation = Number(digits);
  return generationIndex(index, generation) === name ? { index, generation } : undefined;
}

/**
 * `products-g0003-w5-1f2e3d4c5b6a7988`: every opening writes through an alias of its own, which the next opening takes away. The number
 * tells a person which one is newer; the token keeps two openings at one moment apart.
 */
export function writeAlias(physical: string, number: number, token: string): string {
  return `${physical}-w${number}-${token}`;
}

/** Number of a write alias of that generation's index, or undefined for any other name. */
export function writeAliasNumber(physical: string, name: string): number | undefined {
  if (!name.startsWith(`${physical}-w`)) return undefined;
  const match = /^(\d{1,9})-[0-9a-f]+$/.exec(name.slice(physical.length + 2));
  return match === null ? undefined : Number(match[1]);
}

/** Fields that every document has from the cluster, of OpenSearch and of Elasticsearch. */
const clusterFields: ReadonlySet<string> = new Set(
  ['_id', '_index', '_source', '_routing', '_ignored', '_ignored_source', '_field_names', '_seq_no', '_primary_term', '_version', '_type', '_nested_path', '_doc_count', '_tier', '_size', '_data_stream_timestamp', '_recovery_source'],
);

/** Why no document can have a field of this name, as part of a sentence; undefined when it can. A dot means a part of an object. */
export function fieldProblem(field: string): string | undefined {
  if (clusterFields.has(field)) return 'is the name of a field of the cluster\'s own';
  return field.split('.').some((part) => part.trim() === '') ? 'has an empty part before or behind a dot' : undefined;
}

/** What is wrong with an index's name at such a cluster, as part of a sentence; undefined when nothing is. */
export function nameProblem(index: string): string | undefined {
  if (index !== index.toLowerCase()) return 'must be lower case at OpenSearch';
  if (/[\s\\/*?"<>|,#:\p{Cc}]/u.test(index)) return 'must not have any of \\ / * ? " < > | , # : or white space at OpenSearch';
  if (/^[-_+.]/.test(index)) return 'must not begin with -, _, + or . at OpenSearch';
  if (Buffer.byteLength(index) > NAME_BYTES_MAX - SUFFIX_BYTES) return `must not be longer than ${NAME_BYTES_MAX - SUFFIX_BYTES} bytes at OpenSearch`;
  if (/-g\d{4,9}(-w\d.*)?$/.test(index)) return 'must not end like a generation of another index (-g0001) at OpenSearch';
  return index === '' ? 'must not be empty' : undefined;
}
