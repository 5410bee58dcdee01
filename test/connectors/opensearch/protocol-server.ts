/** A server that speaks as much of the protocol as a test tells it to, on a port of its own: what a real one does only when something breaks. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openSearchConfigSchema, type OpenSearchConfig } from '../../../connectors/targets/opensearch/config.ts';

export interface Asked {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** What a real server would answer, or what goes wrong on the way. */
export type Told =
  | { readonly status?: number; readonly json?: unknown; readonly text?: string; readonly headers?: Readonly<Record<string, string>> }
  /** The connection is cut: before any answer, or in its middle. */
  | { readonly cut: 'before' | 'within' }
  /** Never. */
  | { readonly silent: true };

export interface ProtocolServer extends AsyncDisposable {
  readonly url: string;
  readonly asked: readonly Asked[];
  readonly config: (more?: Record<string, unknown>) => OpenSearchConfig;
}

export async function protocolServer(tell: (asked: Asked, number: number) => Told | Promise<Told>): Promise<ProtocolServer> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const one = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body: Buffer.concat(pieces).toString() };
      asked.push(one);
      // What fails in here is a test's own fault: the client sees the connection end.
      Promise.resolve(tell(one, asked.length)).then((told) => answer(told, request, response)).catch(() => request.socket.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    asked,
    config: (more = {}) => openSearchConfigSchema.parse({ type: 'opensearch', url, ...more }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answer(told: Told, request: IncomingMessage, response: ServerResponse): void {
  if ('silent' in told) return;
  if ('cut' in told) {
    if (told.cut === 'within') {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 });
      response.write('{"errors":false,"items":[', () => request.socket.resetAndDestroy());
    } else request.socket.resetAndDestroy();
    return;
  }
  const text = told.text ?? JSON.stringify(told.json ?? {});
  response.writeHead(told.status ?? 200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...told.headers });
  response.end(text);
}

/** One line of a write request, with its document if it has one. */
export interface BulkLine {
  readonly action: string;
  readonly id: string;
  /** Digits as they were sent. */
  readonly version: string | undefined;
  readonly document: string | undefined;
}

export function bulkLines(body: string): BulkLine[] {
  const lines = body.split('\n');
  const read: BulkLine[] = [];
  for (let at = 0; at < lines.length - 1; at += 1) {
    const head = lines[at] as string;
    const [action = ''] = Object.keys(JSON.parse(head) as object);
    const { _id: id } = (JSON.parse(head) as Record<string, { _id: string }>)[action] as { _id: string };
    if (action !== 'delete') at += 1;
    read.push({ action, id, version: /"version":(\d+)/.exec(head)?.[1], document: action === 'delete' ? undefined : lines[at] });
  }
  return read;
}

/** Results for the lines, each a status or a status with an error, as the server would order its answer. */
export function bulkAnswer(lines: readonly BulkLine[], of: (line: BulkLine) => number | { readonly status: number; readonly type: string; readonly reason?: string }): Told {
  const items = lines.map((line) => {
    if (line.action === 'update') return { update: { status: 404, error: { type: 'document_missing_exception', reason: '[tailrace:guard]: document missing' } } };
    const result = of(line);
    return { [line.action]: typeof result === 'number' ? { status: result } : { status: result.status, error: { type: result.type, reason: result.reason ?? 'why' } } };
  });
  return { json: { errors: items.some((item) => Object.values(item).some((one) => 'error' in one)), items } };
}
