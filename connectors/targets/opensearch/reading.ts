/** What readers of an index see: documents by id, and a search. Both go through the alias of the index's name. */
import type { SearchHit, SearchRequest, StoredDocument } from '../../../src/connector/target.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { idProblem } from './bulk.ts';
import { pathOf, type Cluster } from './cluster.ts';
import { failureOf, serverErrorOf } from './failure.ts';
import { fieldIn, indexStates, type IndexState } from './index-state.ts';
import { SEARCH_SUBFIELD, typeOf, type FieldMapping } from './mapping.ts';
import { ownerOf } from './meta.ts';
import { nameProblem } from './names.ts';
import { fetchedDocuments, searchHits } from './stored.ts';

/** Ids in one request; their documents together may be large, then they are asked for in halves. */
const FETCH_AT_ONCE = 1000;
const FETCH_BYTES_MAX = 64 * 1024 * 1024;

/** Beyond these the rest of what was typed is not looked at; servers refuse queries of more than 1024 parts, and each word is one per field. */
const SEARCH_WORDS_MAX = 32;
const SEARCH_FIELDS_MAX = 30;
const SEARCH_WORD_CHARS_MAX = 200;

/** In the order asked for; null for a document that is not there, or an index that readers do not see yet. */
export async function fetchDocuments(index: string, ids: readonly string[], cluster: Cluster, signal: AbortSignal): Promise<(StoredDocument | null)[]> {
  // No such name, so no such index; in a path some would mean other things than a name.
  const held = nameProblem(index) === undefined ? await fetchPhysical(index, ids, cluster, signal) : undefined;
  return held ?? ids.map(() => null);
}

/** The same of an index or alias by its very name. Undefined when it is not there. */
export async function fetchPhysical(name: string, ids: readonly string[], cluster: Cluster, signal: AbortSignal): Promise<(StoredDocument | null)[] | undefined> {
  const held: (StoredDocument | null)[] = ids.map(() => null);
  const places = ids.flatMap((id, at) => (idProblem(id) === undefined ? [at] : []));
  for (let from = 0; from < places.length; from += FETCH_AT_ONCE) {
    const some = places.slice(from, from + FETCH_AT_ONCE);
    if (!(await fetchSome(name, ids, some, held, cluster, signal))) return undefined;
  }
  return held;
}

/** False when the index is not there. */
async function fetchSome(index: string, ids: readonly string[], places: readonly number[], into: (StoredDocument | null)[], cluster: Cluster, signal: AbortSignal): Promise<boolean> {
  const body = JSON.stringify({ ids: places.map((at) => ids[at]) });
  const answer = await cluster.request({ method: 'POST', path: `${pathOf(index)}/_mget`, body, ...(places.length === 1 ? {} : { bytesMax: FETCH_BYTES_MAX }) }, signal);
  if (answer.body === null) {
    const middle = places.length >> 1;
    return (await fetchSome(index, ids, places.slice(0, middle), into, cluster, signal)) && (await fetchSome(index, ids, places.slice(middle), into, cluster, signal));
  }
  if (answer.status === 404) return false;
  if (answer.status >= 300) throw failureOf(answer.status, serverErrorOf(answer.body), { what: `reading documents of ${index}`, index });
  const documents = fetchedDocuments(answer.body);
  if (documents === undefined) return false;
  if (documents.length !== places.length) throw new TailraceError('TGT_CONN', { message: `${documents.length} answers came for ${places.length} documents of ${index}.` });
  for (const [i, document] of documents.entries()) into[places[i] as number] = document;
  return true;
}

/** Best first. Whatever is typed is searched for: every word, `"several in a row"`, words that begin so (`sho*`). */
export async function searchIndex({ index, text, limit }: SearchRequest, cluster: Cluster, signal: AbortSignal): Promise<SearchHit[]> {
  const query = typedQuery(text);
  if (query === '' || nameProblem(index) !== undefined) return [];
  const state = (await indexStates(cluster, index, signal)).find((state) => ownerOf(state)?.index === index);
  const fields = state === undefined ? [] : searchedFields(state);
  if (fields.length === 0) return [];
  const body = JSON.stringify({ size: limit, query: { simple_query_string: { query, fields, default_operator: 'and', flags: 'PHRASE|PREFIX|WHITESPACE', lenient: true } } });
  const answer = await cluster.request({ method: 'POST', path: `${pathOf(index)}/_search`, body }, signal);
  if (answer.status === 404) return [];
  if (answer.status >= 300) throw failureOf(answer.status, serverErrorOf(answer.body), { what: `searching ${index}`, index });
  return searchHits(answer.body ?? Buffer.alloc(0));
}

function typedQuery(text: string): string {
  const words = text.toWellFormed().replaceAll('\0', ' ').split(/\s+/).filter((word) => word !== '' && word !== '*');
  return words.slice(0, SEARCH_WORDS_MAX).map((word) => word.slice(0, SEARCH_WORD_CHARS_MAX)).join(' ');
}

const textTypes: ReadonlySet<string> = new Set(['text', 'match_only_text', 'search_as_you_type', 'annotated_text', 'keyword', 'wildcard', 'flat_object', 'flattened']);

/** The fields that the config names; or, where it names none, all that hold text. */
function searchedFields({ meta, properties }: IndexState): string[] {
  const names = meta?.searched ?? Object.keys(properties).filter((name) => textTypes.has(typeOf(properties[name] as FieldMapping)));
  return names.slice(0, SEARCH_FIELDS_MAX).map((name) => {
    const held = fieldIn(properties, name);
    const subfields = held?.['fields'] as Readonly<Record<string, unknown>> | undefined;
    return subfields !== undefined && SEARCH_SUBFIELD in subfields ? `${name}.${SEARCH_SUBFIELD}` : name;
  });
}
