/** From a column's `Decoding` to a function that reads its values: compiled once, called for every row. */
import { RawJson, type Value } from '../../../../src/change/value.ts';
import { arrayOf } from './array.ts';
import { compositeOf } from './composite.ts';
import { dateOf, timeOf, timestampOf, timestamptzOf, timetzOf, usualTimestamp } from './datetime.ts';
import type { Decoding, PlainForm } from './decoding.ts';
import { geometryOf } from './ewkb.ts';
import { boxOf, circleOf, lineOf, pathOf, pointOf, polygonOf, segmentOf } from './geometric.ts';
import { hstoreOf } from './hstore.ts';
import { Malformed } from './malformed.ts';
import { decimalOf, floatOf, moneyOf, wholeListOf, wholeOf, wholeOfBytes } from './number.ts';
import { multirangeOf, rangeOf } from './range.ts';
import { hexForm, utf8Of } from './text.ts';
import { sparseVectorOf, vectorOf } from './vector.ts';

/** Reads the value that lies in `bytes` from `start` to `end`. Throws `Malformed`. */
export type BytesReader = (bytes: Buffer, start: number, end: number) => Value;
type TextReader = (text: string) => Value;

/**
 * A reader for a column. A value that is not UTF-8 is `hexForm` whatever its type: neither its text nor its structure can be told, and
 * replacing bytes would make different values equal.
 */
export function readerOf(decoding: Decoding): BytesReader {
  const direct = directReader(decoding);
  if (direct !== undefined) return direct;
  const read = textReader(decoding);
  return (bytes, start, end) => {
    const text = utf8Of(bytes, start, end);
    return text === null ? hexForm(bytes, start, end) : read(text);
  };
}

/** Readers that need no string, or a cheaper one, for the types that make up most tables. */
function directReader(decoding: Decoding): BytesReader | undefined {
  switch (decoding.as) {
    case 'text':
      return (bytes, start, end) => utf8Of(bytes, start, end) ?? hexForm(bytes, start, end);
    case 'int':
    case 'bigint':
      return wholeOfBytes;
    case 'boolean':
      return (bytes, start, end) => {
        if (end - start !== 1) throw new Malformed('a boolean');
        return booleanOf(bytes[start] as number);
      };
    case 'decimal':
      return (bytes, start, end) => decimalOf(bytes.toString('latin1', start, end));
    case 'float':
      return (bytes, start, end) => floatOf(bytes.toString('latin1', start, end));
    case 'timestamp':
      return (bytes, start, end) => usualTimestamp(bytes, start, end, 0) ?? timestampOf(bytes.toString('latin1', start, end));
    case 'timestamptz':
      return (bytes, start, end) => usualTimestamp(bytes, start, end, 3) ?? timestamptzOf(bytes.toString('latin1', start, end));
    case 'vector':
      return (bytes, start, end) => vectorOf(bytes, start, end, decoding.dimensions);
    default:
      return undefined;
  }
}

const plainReaders: Readonly<Record<PlainForm, TextReader>> = {
  text: (text) => text,
  boolean: (text) => {
    if (text.length !== 1) throw new Malformed('a boolean');
    return booleanOf(text.charCodeAt(0));
  },
  int: wholeOf,
  bigint: wholeOf,
  decimal: decimalOf,
  float: floatOf,
  money: moneyOf,
  bytes: bytesOf,
  date: dateOf,
  time: timeOf,
  timetz: timetzOf,
  timestamp: timestampOf,
  timestamptz: timestamptzOf,
  json: (text) => new RawJson(text),
  hstore: hstoreOf,
  sparse_vector: sparseVectorOf,
  ewkb: geometryOf,
  int_list: wholeListOf,
  point: pointOf,
  line: lineOf,
  segment: segmentOf,
  box: boxOf,
  path: pathOf,
  polygon: polygonOf,
  circle: circleOf,
};

/** A reader for values inside others: elements, fields, bounds. */
function textReader(decoding: Decoding): TextReader {
  switch (decoding.as) {
    case 'array': {
      const element = textReader(decoding.of);
      return (text) => arrayOf(text, decoding.delimiter, element);
    }
    case 'composite': {
      const fields = decoding.fields.map((field) => ({ name: field.name, read: textReader(field.decoding) }));
      return (text) => compositeOf(text, fields);
    }
    case 'range': {
      const bound = textReader(decoding.of);
      return (text) => rangeOf(text, bound);
    }
    case 'multirange': {
      const bound = textReader(decoding.of);
      return (text) => multirangeOf(text, bound);
    }
    case 'vector':
      return (text) => vectorOf(Buffer.from(text, 'latin1'), 0, text.length, decoding.dimensions);
    default:
      return plainReaders[decoding.as];
  }
}

const LETTER_T = 116;
const LETTER_F = 102;

function booleanOf(letter: number): boolean {
  if (letter === LETTER_T) return true;
  if (letter === LETTER_F) return false;
  throw new Malformed('a boolean');
}

/** `bytea` under the pinned `bytea_output=hex`. Node's own parser stops at the first character that is no hex digit: so does the length. */
function bytesOf(text: string): Uint8Array {
  const bytes = Buffer.from(text.slice(2), 'hex');
  if (!text.startsWith('\\x') || bytes.length * 2 !== text.length - 2) throw new Malformed('bytes in hex');
  return bytes;
}
