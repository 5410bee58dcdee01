/** The config file's text: YAML to a tree of plain values, with the place of every value kept for messages. */
import { isMap, isScalar, LineCounter, parseDocument, type Document, type Node, type ScalarTag } from 'yaml';
import type { Path, Place, Problem } from './problem.ts';
import { Reference } from './reference-tag.ts';

export interface ParsedYaml {
  /** Plain values, and a `Reference` where the file has `!env` or `!file`. */
  readonly tree: unknown;
  /** Where the value at a path is, or the nearest value around it. With `key`, where that key of it is. */
  readonly place: (path: Path, key?: string) => Place;
}

function referenceTag(kind: 'env' | 'file'): ScalarTag {
  return {
    tag: `!${kind}`,
    identify: (value) => value instanceof Reference && value.kind === kind,
    resolve(text, onError) {
      if (text.trim() === '') onError(`\`!${kind}\` is followed by a name`);
      return new Reference(kind, text.trim());
    },
  };
}

/** Either the tree, or what is wrong with the text as YAML: keys given twice, unknown tags, indentation. */
export function parseYaml(text: string): ParsedYaml | readonly Problem[] {
  const lines = new LineCounter();
  const document = parseDocument(text, { customTags: [referenceTag('env'), referenceTag('file')], lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const place = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const problems = [...document.errors, ...document.warnings].map((error): Problem => ({ path: [], message: sentence(error.message), place: place(error.pos[0]) }));
  if (problems.length > 0) return problems;
  if (!isMap(document.contents)) return [{ path: [], message: 'expected settings, as `name: value`', place: place(0) }];
  try {
    return { tree: document.toJS({ maxAliasCount: ALIASES_MAX }) as unknown, place: (path, key) => place(offsetOf(document, path, key)) };
  } catch (error) {
    if (error instanceof ReferenceError) return [{ path: [], message: 'an alias (`*name`) has no anchor (`&name`) before it, or aliases multiply the file' }];
    throw error;
  }
}

/** Most values that aliases may stand for: a few lines of aliases to aliases can fill the memory. */
const ALIASES_MAX = 100;

/** A tag that is misspelt is a name, and short. */
const unknownTag = /^Unresolved tag: !{1,2}[\w-]{1,32}$/;

/**
 * Without what the parser quotes of the file, which stands behind a colon or in quotes at the end: that may be a secret, or a file that was named
 * by mistake and that only this process may read. The place says where it is.
 */
function sentence(message: string): string {
  if (message === 'Map keys must be unique') return 'a key is given twice';
  const own = unknownTag.test(message) ? message : message.replace(/(\S): [^]*$|(\S) "[^]*"$/, '$1$2').replace(/^(Unknown directive|Unsupported YAML version|Invalid escape sequence) [^]*$/, '$1');
  return own.charAt(0).toLowerCase() + own.slice(1);
}

function offsetOf(document: Document, path: Path, key: string | undefined): number {
  for (let length = path.length; length >= 0; length -= 1) {
    const node = document.getIn(path.slice(0, length), true) as Node | undefined;
    if (node?.range === undefined || node.range === null) continue;
    const keyed = length === path.length ? keyOffset(node, key) : undefined;
    return keyed ?? node.range[0];
  }
  return 0;
}

function keyOffset(node: Node, key: string | undefined): number | undefined {
  if (key === undefined || !isMap(node)) return undefined;
  const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === key);
  return isScalar(pair?.key) ? pair.key.range?.[0] : undefined;
}
