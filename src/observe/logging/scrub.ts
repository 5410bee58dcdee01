/**
 * Takes secrets out of text: the values that the config holds, and whatever stands between `://` and `@` in a url. Redacting fields by name
 * does not do: a driver puts the url it could not reach into the message of its error.
 */
import { Secret } from '../../runtime/secret.ts';

export const SECRET_MARK = '[secret]';

/** A shorter value occurs in ordinary words: to replace it would garble every line and hide nothing. */
const SECRET_CHARS_MIN = 4;

/** Objects within objects beyond this are cut: fields of a log line are flat. */
const DEPTH_MAX = 6;

/** Bounds what one line may weigh, whatever a driver puts into an error. */
const TEXT_CHARS_MAX = 8_192;

const userinfo = /(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/?#@"'<>]*(?:@[^\s/?#@"'<>]*)*@/gi;
const keywordPassword = /\b(\w*(?:password|passwd|pwd|token|secret|api_?key))(\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&;,'"]+)/gi;
const bearer = /\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}/gi;

export class Scrubber {
  readonly #values: readonly string[];

  /** `secrets` are everything in the config that must not be seen. */
  constructor(secrets: Iterable<Secret> = []) {
    const values = new Set<string>();
    for (const secret of secrets) for (const form of formsOf(secret.reveal())) values.add(form);
    // Longest first, so that a value which contains another is replaced whole.
    this.#values = [...values].filter((value) => value.length >= SECRET_CHARS_MIN).toSorted((a, b) => b.length - a.length);
  }

  text(text: string): string {
    let scrubbed = text;
    for (const value of this.#values) scrubbed = scrubbed.replaceAll(value, SECRET_MARK);
    scrubbed = scrubbed
      .replace(userinfo, `$1${SECRET_MARK}@`)
      .replace(keywordPassword, `$1$2${SECRET_MARK}`)
      .replace(bearer, `$1 ${SECRET_MARK}`);
    // Cut last: of a secret that the cut goes through, nothing could be told any more.
    return scrubbed.length > TEXT_CHARS_MAX ? `${scrubbed.slice(0, TEXT_CHARS_MAX)}…` : scrubbed;
  }

  /** The value as JSON can hold it, every text in it scrubbed. Bytes become their length: they may be a row. */
  value(value: unknown, depth = 0): unknown {
    if (typeof value === 'string') return this.text(value);
    if (typeof value === 'bigint') return value.toString();
    if (typeof value !== 'object' || value === null) return value;
    if (value instanceof Secret) return SECRET_MARK;
    if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
    if (depth >= DEPTH_MAX) return '…';
    if (Array.isArray(value)) return value.map((item) => this.value(item, depth + 1));
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [this.text(name), this.value(item, depth + 1)]));
  }
}

/**
 * A secret as it may turn up elsewhere: as it is and percent-encoded. Of a url only the password, as written and decoded: its host says what
 * a message is about, and its userinfo goes wherever a url stands.
 */
function formsOf(value: string): string[] {
  const url = URL.parse(value);
  // It says where something is, and nothing else.
  if (url !== null && url.host !== '' && url.username === '' && url.password === '' && url.search === '') return [];
  if (url === null || url.password === '') return [value, encodeURIComponent(value)];
  const forms: string[] = [];
  const shown = [url.username, url.hostname, url.pathname.slice(1), url.protocol.slice(0, -1)];
  const decoded = percentDecoded(url.password);
  for (const form of [url.password, decoded, encodeURIComponent(decoded)]) {
    // A password that is also the name of the user or database cannot be told from that name, which every message may say.
    if (!shown.includes(form)) forms.push(form);
  }
  return forms;
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A `%` that begins no escape stands for itself.
    return text;
  }
}

/** Every secret in a config or any other plain value. */
export function secretsIn(value: unknown): Secret[] {
  if (value instanceof Secret) return [value];
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return [];
  return Object.values(value).flatMap(secretsIn);
}
