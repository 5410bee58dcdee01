/** Documents in answers of the cluster, cut out as they were stored. Answers with them are never filtered: the server would write numbers anew. */
import type { SearchHit, StoredDocument } from '../../../src/connector/target.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { failureOf, isBlock, serverErrorIn } from './failure.ts';
import { objectsUnder, stringOf, textOf, type Members, type Span } from './raw-json.ts';

export interface ScannedPage {
  /** Without their text when that was not asked for. */
  readonly documents: readonly StoredDocument[];
  /** Where the next page begins, as JSON; undefined behind the last document. */
  readonly after: string | undefined;
}

export function scannedPage(body: Buffer): ScannedPage {
  return reading(() => {
    const text = body.toString();
    const documents: StoredDocument[] = [];
    let after: string | undefined;
    for (const hit of objectsUnder(text, 'hits', 'hits')) {
      documents.push(storedIn(text, hit));
      after = partOf(text, hit, 'sort');
    }
    return { documents, after };
  });
}

/** Documents in the order asked for; null for one that is not there. Undefined: the index is not there. */
export function fetchedDocuments(body: Buffer): (StoredDocument | null)[] | undefined {
  return reading(() => {
    const text = body.toString();
    const documents: (StoredDocument | null)[] = [];
    for (const held of objectsUnder(text, 'docs')) {
      const error = held.get('error');
      if (error !== undefined) {
        const said = serverErrorIn(JSON.parse(textOf(text, error)));
        if (said.type === 'index_not_found_exception') return undefined;
        // A right or a shard is missing: the answer as a whole is a success all the same, and says no other status.
        throw failureOf(isBlock(said) ? 403 : 503, said, 'reading a document');
      }
      const found = held.get('found');
      documents.push(found !== undefined && textOf(text, found) === 'true' ? storedIn(text, held) : null);
    }
    return documents;
  });
}

export function searchHits(body: Buffer): SearchHit[] {
  return reading(() => {
    const text = body.toString();
    return Array.from(objectsUnder(text, 'hits', 'hits'), (hit) => {
      const score = hit.get('_score');
      return { id: idIn(text, hit), score: score === undefined ? 0 : Number(textOf(text, score)), document: partOf(text, hit, '_source') };
    });
  });
}

function storedIn(text: string, members: Members): StoredDocument {
  const source = members.get('_source');
  return { id: idIn(text, members), version: BigInt(partOf(text, members, '_version')), document: source === undefined ? '' : textOf(text, source) };
}

function idIn(text: string, members: Members): string {
  return stringOf(text, spanOf(members, '_id'));
}

function partOf(text: string, members: Members, name: string): string {
  return textOf(text, spanOf(members, name));
}

function spanOf(members: Members, name: string): Span {
  const span = members.get(name);
  if (span === undefined) throw new SyntaxError(`no ${name}`);
  return span;
}

function reading<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new TailraceError('TGT_CONN', { message: 'The cluster\'s answer with documents is not whole.' });
  }
}
