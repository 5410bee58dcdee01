/** The user's own module: `transform(document, context)`, called for every document after fields and filters. */
import { createHash } from 'node:crypto';
import { jsonOf, type Value } from '../change/value.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import { isPlainObject, NotPlainError, plainOf, valueOfPlain } from './plain-value.ts';

/** What a transform may know besides the document. */
interface TransformContext {
  readonly index: string;
  readonly source: string;
  /** `schema.table`. */
  readonly table: string;
}

/**
 * Returns the document to store, or null to leave the row out. It must be a pure function of its arguments: after a restart tailrace
 * makes documents again and expects the same ones.
 */
export type TransformFunction = (document: Record<string, unknown>, context: TransformContext) => unknown;

export interface DocumentTransform {
  /** As the config names it: for messages. */
  readonly path: string;
  /** SHA-256 of the module's text, hex: part of the fingerprint. Modules that it imports are not part of it. */
  readonly contentHash: string;
  readonly apply: TransformFunction;
}

/** How a module is found and run; handed in, because the engine has no files. Paths are absolute. */
interface ModuleLoader {
  readText(path: string): Promise<string>;
  importModule(path: string): Promise<unknown>;
}

/** Loads a module. `path` is how the config names it, `file` where it is. Throws CFG_TRANSFORM when it has no `transform` that can be called. */
export async function loadTransform(path: string, file: string, loader: ModuleLoader): Promise<DocumentTransform> {
  let text: string;
  let module: unknown;
  try {
    text = await loader.readText(file);
    module = await loader.importModule(file);
  } catch (cause) {
    throw new TailraceError('CFG_TRANSFORM', { message: `The module ${path} cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}.`, entity: path, cause });
  }
  const apply = typeof module === 'object' && module !== null && 'transform' in module ? module.transform : undefined;
  if (typeof apply !== 'function') throw new TailraceError('CFG_TRANSFORM', { message: `The module ${path} has no exported function \`transform\`.`, entity: path });
  if (apply.constructor.name === 'AsyncFunction') throw new TailraceError('CFG_TRANSFORM', { message: `\`transform\` of the module ${path} is async; it has to return the document itself.`, entity: path });
  return { path, contentHash: createHash('sha256').update(text).digest('hex'), apply: apply as TransformFunction };
}

/** A field as the document would have it without the transform. */
export interface DocumentField {
  readonly name: string;
  readonly value: Value;
}

/** JSON text of what the transform returns, or null when it leaves the row out. Throws DOC_FAILED for whatever goes wrong in it. */
export function transformed(transform: DocumentTransform, fields: readonly DocumentField[], context: TransformContext): string | null {
  try {
    const given = new Map(fields.map(({ name, value }) => [name, { plain: plainOf(value), value }]));
    const result = transform.apply(Object.fromEntries(Array.from(given, ([name, { plain }]) => [name, plain])), context);
    if (result === null) return null;
    if (typeof result !== 'object' || Array.isArray(result) || !isPlainObject(result)) throw new NotPlainError('what it returned is no plain object and not null');
    const parts: string[] = [];
    for (const [name, item] of Object.entries(result)) {
      if (item === undefined) continue;
      const before = given.get(name);
      // A field that was passed on keeps its digits, which a JavaScript number or string may not show.
      const untouched = before !== undefined && before.plain === item && typeof item !== 'object';
      parts.push(`${JSON.stringify(name)}:${jsonOf(untouched ? before.value : valueOfPlain(item, name))}`);
    }
    return `{${parts.join(',')}}`;
  } catch (error) {
    // The user's code may throw anything. Its message may hold values of the row, so only its kind and place are told.
    throw new TailraceError('DOC_FAILED', { message: `The module ${transform.path} failed: ${sentenceOf(error)}.`, entity: transform.path });
  }
}

function sentenceOf(error: unknown): string {
  if (error instanceof NotPlainError) return error.message;
  if (!(error instanceof Error)) return 'it threw something that is no error';
  const place = /(\d+:\d+)\)?$/.exec(error.stack?.split('\n').find((line) => /^\s+at .*:\d+:\d+\)?$/.test(line)) ?? '');
  return `${error.name}${place === null ? '' : ` at ${place[1]}`}`;
}
