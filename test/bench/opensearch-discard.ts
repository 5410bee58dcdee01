/**
 * A `_bulk` server that throws everything away, in a process of its own: answers as OpenSearch does when every document was applied, and knows
 * one index in the state that the target under measurement wants it. Prints its port.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const NEWLINE = 0x0a;

/** Answers by the number of documents: batches mostly have the same. */
const answers = new Map<number, string>();

function bulkAnswer(documents: number): string {
  let answer = answers.get(documents);
  if (answer === undefined) {
    answer = `{"errors":false,"items":[${Array.from({ length: documents }, () => '{"index":{"status":201}}').join()}]}`;
    answers.set(documents, answer);
  }
  return answer;
}

/** Two lines for each document. */
function documentsIn(pieces: readonly Buffer[]): number {
  let lines = 0;
  for (const piece of pieces) for (let at = piece.indexOf(NEWLINE); at !== -1; at = piece.indexOf(NEWLINE, at + 1)) lines += 1;
  return lines / 2;
}

interface Held {
  readonly aliases: Record<string, unknown>;
  readonly mappings: Record<string, unknown>;
  readonly settings: Record<string, unknown>;
}

let index: { readonly name: string; readonly held: Held } | undefined;

function other(method: string, path: string, body: string): unknown {
  if (path === '/') return { version: { distribution: 'opensearch', number: '3.6.0' } };
  if (path.includes('/_stats')) return { indices: { [index?.name ?? '']: { uuid: 'u', shards: { 0: [{ commit: { user_data: { history_uuid: 'h' } } }] } } } };
  if (path.includes('/_cluster/health')) return { status: 'green', timed_out: false };
  if (method === 'PUT' && !path.includes('/_')) {
    const { settings, mappings, aliases } = JSON.parse(body) as Held;
    index = { name: decodeURIComponent(path.slice(1).split('?')[0] ?? ''), held: { aliases, mappings, settings: { 'index.uuid': 'u', 'index.number_of_shards': '1', ...settings } } };
    return { acknowledged: true };
  }
  if (method === 'PUT' && path.includes('/_mapping')) Object.assign(index?.held.mappings ?? {}, JSON.parse(body));
  if (method === 'GET' && index !== undefined && !path.includes('*')) return { [index.name]: index.held };
  return method === 'GET' ? {} : { acknowledged: true };
}

function serve(request: IncomingMessage, response: ServerResponse): void {
  const pieces: Buffer[] = [];
  request.on('data', (piece: Buffer) => pieces.push(piece));
  request.on('end', () => {
    const { method = '', url = '' } = request;
    const answer = url.includes('/_bulk') ? bulkAnswer(documentsIn(pieces)) : JSON.stringify(other(method, url, Buffer.concat(pieces).toString()));
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(answer) });
    response.end(answer);
  });
}

const server = createServer(serve);
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
