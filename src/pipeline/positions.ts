/** Where each source and index stands, for `tailrace positions`. */
import { decodeResumePoint, identityRegister, positionRegister } from '../capture/resume-point.ts';
import type { Seq } from '../change/seq.ts';
import type { GenerationPhase, GenerationRecord } from '../state/state-store.ts';

export interface SourcePosition {
  readonly source: string;
  /** What the position belongs to. */
  readonly identity: string | null;
  /** As the source's own tools write it. */
  readonly position: string | null;
  /** Changes of the next transaction that are logged already. */
  readonly partial_changes: number;
}

export interface IndexPosition {
  readonly index: string;
  readonly generation: number;
  readonly phase: GenerationPhase;
  readonly cursor: Seq | null;
}

export interface PositionReport {
  readonly log: { readonly id: string; readonly epoch: number; readonly first_seq: Seq; readonly durable_seq: Seq };
  readonly sources: readonly SourcePosition[];
  readonly indices: readonly IndexPosition[];
}

/** What the log's registers say of a source. */
export function sourcePosition(source: string, registers: ReadonlyMap<string, Uint8Array>, format: (position: Uint8Array) => string): SourcePosition {
  const identity = registers.get(identityRegister(source));
  const register = registers.get(positionRegister(source));
  const resume = register === undefined ? null : decodeResumePoint(register);
  return {
    source,
    identity: identity === undefined ? null : Buffer.from(identity).toString(),
    position: resume === null ? null : format(resume.position),
    partial_changes: resume?.partial?.changes ?? 0,
  };
}

/** Of each generation of an index that is kept. */
export function indexPositions(generations: readonly { readonly record: GenerationRecord; readonly cursor: Seq | null }[]): IndexPosition[] {
  return generations.filter(({ record }) => record.phase !== 'dropping').map(({ record: { index, generation, phase }, cursor }) => ({ index, generation, phase, cursor }));
}
