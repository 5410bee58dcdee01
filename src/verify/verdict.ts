/**
 * The judgement on one document, exact while everything moves: what the source says as of a seq, every change of the row in the log behind that, how
 * far the target was before the document was fetched and how far the log when it had come. Whatever the document may be at that moment, and nothing
 * else, is right.
 */
import type { Seq } from '../change/seq.ts';
import { versionOf } from '../change/seq.ts';
import type { StoredDocument } from '../connector/target.ts';
import type { DifferenceKind } from './difference.ts';
import { compareDocuments } from './same-document.ts';

/** What a row makes. `failed`: an error, for which it is parked. */
export type Expected = { readonly kind: 'document'; readonly json: string } | { readonly kind: 'none' } | { readonly kind: 'failed' };

export interface KeyChange {
  readonly seq: Seq;
  readonly expected: Expected;
}

export interface Evidence {
  readonly epoch: number;
  /** Seq behind which the generation reads the log. */
  readonly startSeq: Seq;
  /** What the row makes as of `baseSeq`; null when that is not known. */
  readonly base: Expected | null;
  readonly baseSeq: Seq;
  /** All of the row's up to `durableSeq`: behind `baseSeq` where there is a base, and older ones that may be newer than it. In the order of seqs. */
  readonly changes: readonly KeyChange[];
  /** Everything up to here was applied before the document was fetched. */
  readonly cursor: Seq;
  /** Nothing behind this was in the log when the document had been fetched. */
  readonly durableSeq: Seq;
  readonly stored: StoredDocument | null;
  /** There is a dead letter for the document. */
  readonly isParked: boolean;
}

export type Verdict =
  | { readonly kind: 'equal' }
  | { readonly kind: 'parked' }
  | { readonly kind: 'different'; readonly how: DifferenceKind; readonly field: string | null }
  /** What is known is not enough. */
  | { readonly kind: 'unknown' };

const EQUAL: Verdict = { kind: 'equal' };
const PARKED: Verdict = { kind: 'parked' };

interface State {
  readonly expected: Expected;
  /** Of the change that it is of; null for the base, whose change the log need not hold. */
  readonly version: bigint | null;
}

export function verdictOn(evidence: Evidence): Verdict {
  const states = possibleStates(evidence);
  const [due] = states;
  if (due === undefined) return { kind: 'unknown' };
  for (const state of states) {
    const verdict = fits(state, evidence);
    if (verdict !== null) return verdict;
  }
  // One that its target refused is parked no more as soon as another change of it is on its way.
  if (evidence.stored === null && states.length > 1) return { kind: 'unknown' };
  return differs(due, evidence);
}

/** The first is what was due when the document was fetched; what comes behind it may have been applied by then. */
function possibleStates({ epoch, base, changes, cursor, durableSeq }: Evidence): State[] {
  const stateOf = ({ seq, expected }: KeyChange): State => ({ expected, version: versionOf(epoch, seq) });
  const applied = changes.findLast(({ seq }) => seq <= cursor);
  const due = applied === undefined ? (base === null ? null : { expected: base, version: null }) : stateOf(applied);
  if (due === null) return [];
  return [due, ...changes.filter(({ seq }) => seq > cursor && seq <= durableSeq).map(stateOf)];
}

/** Null when the document is not what the state makes. */
function fits({ expected, version }: State, evidence: Evidence): Verdict | null {
  const { stored, isParked } = evidence;
  if (stored === null) {
    if (expected.kind === 'none') return EQUAL;
    // One that its target refused is parked as well as one that could not be made.
    return expected.kind === 'failed' || isParked ? PARKED : null;
  }
  if (expected.kind !== 'document' || !isVersionOf(stored.version, version, evidence)) return null;
  return compareDocuments(expected.json, stored.document).kind === 'same' ? EQUAL : null;
}

function isVersionOf(stored: bigint, version: bigint | null, { epoch, startSeq, baseSeq }: Evidence): boolean {
  if (version !== null) return stored === version;
  return stored > versionOf(epoch, startSeq) && stored <= versionOf(epoch, baseSeq);
}

function differs({ expected, version }: State, evidence: Evidence): Verdict {
  const { stored } = evidence;
  const different = (how: DifferenceKind, field: string | null = null): Verdict => ({ kind: 'different', how, field });
  if (stored === null) return different('missing');
  if (expected.kind !== 'document') return different('extra');
  const sameness = compareDocuments(expected.json, stored.document);
  if (sameness.kind === 'unreadable') return different('unreadable');
  if (sameness.kind === 'same') return different('wrong_version');
  const { epoch, startSeq, durableSeq } = evidence;
  if (stored.version > versionOf(epoch, durableSeq) || stored.version <= versionOf(epoch, startSeq)) return different('wrong_version', sameness.field);
  return different(version !== null && stored.version < version ? 'stale' : 'altered', sameness.field);
}
