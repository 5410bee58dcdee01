/**
 * Dates and times as ISO 8601 text, microseconds kept: no Date object is in the way, so nothing is rounded or shifted.
 *
 * Years beyond 0001..9999 have ISO 8601's expanded form, a sign and at least six digits (`+010000-01-01`, and `-000043-03-15` for
 * the Ides of March of 44 BC, since there is a year 0); `infinity` and `-infinity` stay words. No ordinary date looks like either.
 */
import { Malformed } from './malformed.ts';

const dateText = /^(\d{4,7})-(\d\d)-(\d\d)( BC)?$/;
const timestampText = /^(\d{4,6})-(\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,6})?)(\+00)?( BC)?$/;
const timeText = /^\d\d:\d\d:\d\d(?:\.\d{1,6})?$/;
const timetzText = /^(\d\d:\d\d:\d\d(?:\.\d{1,6})?)([+-]\d\d)((?::\d\d){0,2})$/;

export function dateOf(text: string): string {
  const parts = dateText.exec(text);
  if (parts === null) return infinityOf(text, 'a date');
  return `${isoYear(parts[1] as string, parts[4] !== undefined)}-${parts[2]}-${parts[3]}`;
}

/** `timestamp` stays naive: no zone is added to what has none. */
export function timestampOf(text: string): string {
  const parts = timestampText.exec(text);
  if (parts === null || parts[4] !== undefined) return infinityOf(text, 'a timestamp');
  return `${isoYear(parts[1] as string, parts[5] !== undefined)}-${parts[2]}T${parts[3]}`;
}

/** `timestamptz` under the pinned `timezone=UTC`. */
export function timestamptzOf(text: string): string {
  const parts = timestampText.exec(text);
  if (parts === null || parts[4] === undefined) return infinityOf(text, 'a timestamp in UTC');
  return `${isoYear(parts[1] as string, parts[5] !== undefined)}-${parts[2]}T${parts[3]}Z`;
}

export function timeOf(text: string): string {
  if (!timeText.test(text)) throw new Malformed('a time');
  return text;
}

/** `timetz` keeps the offset that it was written with, spelled with minutes as ISO 8601 wants: `12:00:00+02:00`. */
export function timetzOf(text: string): string {
  const parts = timetzText.exec(text);
  if (parts === null) throw new Malformed('a time with an offset');
  return `${parts[1]}${parts[2]}${parts[3] === '' ? ':00' : parts[3]}`;
}

function isoYear(digits: string, beforeChrist: boolean): string {
  if (beforeChrist) {
    const year = Number(digits) - 1;
    return year === 0 ? '+000000' : `-${String(year).padStart(6, '0')}`;
  }
  return digits.length === 4 ? digits : `+${digits.padStart(6, '0')}`;
}

function infinityOf(text: string, expected: string): string {
  if (text === 'infinity' || text === '-infinity') return text;
  throw new Malformed(expected);
}

const DASH = 45;
const BLANK = 32;
const COLON = 58;
const PLUS = 43;
const LETTER_C = 67;
const LETTER_T = 84;
const LETTER_Z = 90;
const DOT = 46;
const TIMESTAMP_LENGTH = 'YYYY-MM-DD HH:MM:SS'.length;

const scratch = Buffer.alloc(64);

/**
 * The usual timestamp straight from bytes: four digits of year, no era. null sends the caller to the patient way.
 * `zoneLength` is 3 for `+00` and 0 for none.
 */
export function usualTimestamp(bytes: Buffer, start: number, end: number, zoneLength: 0 | 3): string | null {
  const clockEnd = end - zoneLength;
  const length = clockEnd - start;
  if (length < TIMESTAMP_LENGTH || length > TIMESTAMP_LENGTH + 7) return null;
  if (bytes[start + 4] !== DASH || bytes[start + 10] !== BLANK || bytes[start + 13] !== COLON) return null;
  if (length > TIMESTAMP_LENGTH && bytes[start + TIMESTAMP_LENGTH] !== DOT) return null;
  // ` BC` behind a short fraction is no longer than a long fraction.
  if (bytes[clockEnd - 1] === LETTER_C) return null;
  if (zoneLength === 3 && (bytes[clockEnd] !== PLUS || bytes[clockEnd + 1] !== 48 || bytes[clockEnd + 2] !== 48)) return null;
  for (let i = 0; i < length; i += 1) scratch[i] = bytes[start + i] as number;
  scratch[10] = LETTER_T;
  if (zoneLength === 0) return scratch.toString('latin1', 0, length);
  scratch[length] = LETTER_Z;
  return scratch.toString('latin1', 0, length + 1);
}
