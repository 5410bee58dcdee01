/**
 * What the log must be, kept beside it: the list of all frames that were appended, in order. A log that is right is always a prefix of that list,
 * at least as long as what was acknowledged or seen, from which retention has cut the beginning.
 */
import { isDeepStrictEqual } from 'node:util';
import { FrameKind, type Frame, type FrameDraft, type LogStore } from '../../src/connector/log-store.ts';
import { drain } from './fixtures.ts';

/** The numbers of the invariants in the contract of `LogStore` and the design of the log. */
export type InvariantNumber = 1 | 2 | 3 | 4 | 5 | 8 | 11 | 14 | 17 | 18;

/** Counts what was checked and keeps what was broken. */
export class Audit {
  readonly checks = new Map<InvariantNumber, number>();
  readonly broken = new Map<InvariantNumber, string[]>();
  /** How often something happened that the runs are meant to reach. */
  readonly reached = new Map<string, number>();
  /** Says how to repeat the present run. */
  run = '';

  check(number: InvariantNumber, holds: boolean, message: () => string): void {
    this.checks.set(number, (this.checks.get(number) ?? 0) + 1);
    if (holds) return;
    const broken = this.broken.get(number) ?? [];
    broken.push(`${this.run}: ${message()}`);
    this.broken.set(number, broken);
  }

  reach(what: string): void {
    this.reached.set(what, (this.reached.get(what) ?? 0) + 1);
  }
}

export interface Submission {
  readonly id: string;
  readonly draft: FrameDraft;
  acked: boolean;
  /** Aborted while it waited. It is not in the log, unless a crash undoes the undoing of a write that found no room. */
  withdrawn: boolean;
}

export class LogModel {
  readonly audit: Audit;
  /** Everything that may be in the log, in the order of appends. */
  submissions: Submission[] = [];
  /** Id of the last submission that any reader saw. */
  #lastSeen: string | undefined;
  #nextId = 0;

  constructor(audit: Audit) {
    this.audit = audit;
  }

  /** Registers a draft; the register `id`, which every frame sets, tells the frames apart. */
  submit(draft: FrameDraft): Submission {
    const id = `id${this.#nextId}`;
    this.#nextId += 1;
    const submission = { id, draft: { ...draft, registers: [...draft.registers, ['id', Buffer.from(id)] as const] }, acked: false, withdrawn: false };
    this.submissions.push(submission);
    return submission;
  }

  /** It was rejected before it was written. */
  withdraw(submission: Submission): void {
    this.audit.check(1, !submission.acked, () => `${submission.id} was rejected after it was acknowledged`);
    submission.withdrawn = true;
  }

  acknowledge(submission: Submission, appended: { readonly firstSeq: number; readonly lastSeq: number }): void {
    submission.acked = true;
    const firstSeq = this.firstSeqOf(this.submissions.indexOf(submission));
    this.audit.check(3, appended.firstSeq === firstSeq && appended.lastSeq === firstSeq + submission.draft.count - 1, () => `${submission.id} got ${JSON.stringify(appended)} instead of ${firstSeq}`);
  }

  firstSeqOf(index: number): number {
    let seq = 1;
    for (const { draft, withdrawn } of this.submissions.slice(0, index)) if (!withdrawn) seq += draft.count;
    return seq;
  }

  /**
   * A reader was handed a frame: it must be the submission behind the one it had before, or one without changes that stands for those that were
   * removed in front of the reader. Returns the index of the last submission that the reader knows of by now.
   */
  read(frame: Frame, before: number | undefined, { durableSeq }: LogStore): number {
    const id = idOf(frame);
    const index = this.submissions.findIndex((submission) => submission.id === id);
    const submission = this.submissions[index];
    const standsFor = submission !== undefined && isSame(frame, submission.draft) ? undefined : this.#standsFor(frame);
    if (standsFor !== undefined) {
      this.audit.check(14, frame.firstSeq === this.firstSeqOf(standsFor + 1) && (before === undefined || this.#isWithoutChanges(before + 1, standsFor + 1)), () => `all registers up to number ${standsFor} were read behind number ${before}`);
      this.audit.reach('removed frames without changes made up for');
      return Math.max(before ?? standsFor, standsFor);
    }
    this.audit.check(2, submission !== undefined && isSame(frame, submission.draft), () => `${id} was read, but not as it was appended`);
    this.audit.check(3, frame.firstSeq === this.firstSeqOf(index) && frame.lastSeq === frame.firstSeq + frame.count - 1, () => `${id} was read with seq ${frame.firstSeq}`);
    this.audit.check(5, frame.lastSeq <= durableSeq, () => `${id} was read before it was durable`);
    const missed = before === undefined ? [] : this.submissions.slice(before + 1, index).filter(({ withdrawn }) => !withdrawn);
    if (before !== undefined) this.audit.check(14, index > before && missed.length === 0, () => `${id} was read as number ${index} behind number ${before}`);
    const seen = this.submissions.findIndex(({ id: other }) => other === this.#lastSeen);
    if (index > seen) this.#lastSeen = id;
    return index;
  }

  /** Compares a log that was just opened, and takes what it holds as what there is from now on. */
  async reopened(log: LogStore, afterFailure: boolean): Promise<void> {
    await this.#takeBackWithdrawn(log);
    const lastId = textOf(log.registers.get('id'));
    let length = this.submissions.findIndex(({ id }) => id === lastId) + 1;
    const acked = this.submissions.findLastIndex((submission) => submission.acked) + 1;
    const seen = this.submissions.findIndex(({ id }) => id === this.#lastSeen) + 1;
    const numbers: readonly InvariantNumber[] = afterFailure ? [1, 18] : [1];
    for (const number of numbers) this.audit.check(number, length >= acked, () => `${acked} frames were acknowledged, ${length} are there`);
    this.audit.check(4, length >= seen, () => `${seen} frames were seen, ${length} are there`);
    this.audit.check(5, length >= seen, () => `frame ${seen} was read and is gone`);
    if (length < this.submissions.length) this.audit.reach('unacknowledged frames lost');
    else if (acked < length) this.audit.reach('unacknowledged frames kept');
    this.submissions = this.submissions.slice(0, length).filter(({ withdrawn }) => !withdrawn);
    for (const submission of this.submissions) submission.acked = true;
    length = this.submissions.length;
    this.audit.check(3, log.durableSeq === this.firstSeqOf(length) - 1, () => `the log ends at ${log.durableSeq} instead of ${this.firstSeqOf(length) - 1}`);
    this.checkRegisters(log);
    await this.#readAll(log);
  }

  async #takeBackWithdrawn(log: LogStore): Promise<void> {
    await using reader = log.reader(log.firstSeq - 1);
    const ids = new Set((await drain(reader)).map(idOf));
    for (const submission of this.submissions) {
      if (!submission.withdrawn || !ids.has(submission.id)) continue;
      submission.withdrawn = false;
      this.audit.reach('an aborted frame came back');
    }
  }

  async #readAll(log: LogStore): Promise<void> {
    await using reader = log.reader(log.firstSeq - 1);
    let before: number | undefined;
    for (const frame of await drain(reader)) before = this.read(frame, before, log);
    if (before !== undefined) this.audit.check(2, before === this.submissions.length - 1, () => `the last frame that can be read is number ${before}`);
    else this.audit.check(2, log.firstSeq === log.durableSeq + 1, () => 'no frame can be read');
  }

  /** To be called when nothing is in flight. */
  checkRegisters(log: LogStore): void {
    const actual = new Map(Array.from(log.registers, ([name, value]) => [name, textOf(value)]));
    this.audit.check(8, isDeepStrictEqual(actual, this.#registersBehind(this.submissions.length)), () => `the registers are ${JSON.stringify([...actual])}`);
  }

  /** The submission behind which the registers are those of the frame, if the frame has all of them. */
  #standsFor(frame: Frame): number | undefined {
    const actual = new Map(frame.registers.map(([name, value]) => [name, value === null ? undefined : textOf(value)]));
    const index = this.submissions.findIndex(({ id }) => id === actual.get('id'));
    return frame.count === 0 && index !== -1 && isDeepStrictEqual(actual, this.#registersBehind(index + 1)) ? index : undefined;
  }

  #registersBehind(length: number): Map<string, string | undefined> {
    const registers = new Map<string, string | undefined>();
    for (const { draft } of this.submissions.slice(0, length).filter(({ withdrawn }) => !withdrawn)) {
      for (const [name, value] of draft.registers) {
        if (value === null) registers.delete(name);
        else registers.set(name, textOf(value));
      }
    }
    return registers;
  }

  #isWithoutChanges(from: number, to: number): boolean {
    return this.submissions.slice(from, to).every(({ draft, withdrawn }) => withdrawn || draft.count === 0);
  }
}

function idOf(frame: Frame): string | undefined {
  const last = frame.registers.at(-1);
  return last?.[0] === 'id' && last[1] !== null ? textOf(last[1]) : undefined;
}

function textOf(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString('latin1');
}

function isSame(frame: Frame, draft: FrameDraft): boolean {
  return (
    frame.kind === draft.kind &&
    frame.source === draft.source &&
    frame.snapshot === draft.snapshot &&
    frame.count === draft.count &&
    Buffer.compare(frame.entries, draft.entries) === 0 &&
    isDeepStrictEqual(plain(frame), plain(draft))
  );
}

/** What has bigints and bytes in it, in a form that can be compared. */
function plain({ transactions, registers }: Pick<FrameDraft, 'transactions' | 'registers'>): unknown {
  return [
    transactions.map((transaction) => ({ ...transaction, id: String(transaction.id), position: textOf(transaction.position) })),
    registers.map(([name, value]) => [name, value === null ? null : textOf(value)]),
  ];
}

export const kinds = [FrameKind.stream, FrameKind.snapshot] as const;
