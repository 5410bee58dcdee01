/** Serving HTTP, as the admin surface needs it: small requests, answers of text or of lines that come as they come. */

export interface HttpRequest {
  readonly method: string;
  /** Decoded by nobody: `/v1/status`. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** By lower-case name. */
  readonly header: (name: string) => string | undefined;
  /** What was sent with it, as UTF-8; null for more bytes than these, which are not read into memory. */
  readonly text: (bytesMax: number) => Promise<string | null>;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

export interface HttpReply {
  readonly status: number;
  readonly contentType: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Pieces are sent as they come, and asked for no faster than the client takes them. */
  readonly body: string | AsyncIterable<string>;
}

/** Never rejects for anything that a client did; a rejection is answered with status 500 and an empty body. */
export type HttpHandler = (request: HttpRequest) => Promise<HttpReply>;

export type HttpAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  /** A unix socket that only this account may open. What is left there of a process that is gone is replaced. */
  | { readonly kind: 'socket'; readonly path: string };

export interface HttpListener extends AsyncDisposable {
  /** Where it listens: with `port: 0`, the port that it got. */
  readonly address: HttpAddress;
}

/**
 * Resolves when it accepts connections. Rejects with Node's error (`EADDRINUSE`, `EACCES`, ...). Disposing ends open connections.
 * `onTrouble` is told of what fails after that (a connection that the system could not give); serving goes on.
 */
export type HttpServe = (address: HttpAddress, handler: HttpHandler, onTrouble: (error: unknown) => void) => Promise<HttpListener>;
