/**
 * One run of the log under a seed: a few lives of a process that appends, reads, moves holds, runs out of room and is closed, on a simulated disk whose
 * operations may fail or crash the machine. After each life the log is opened again and compared with the model.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { codeOf, isAbort } from '../../src/errors/tailrace-error.ts';
import type { FrameDraft, LogReader, LogStore } from '../../src/connector/log-store.ts';
import { openLog, type LogOptions } from '../../src/log/open.ts';
import { openLogReadOnly } from '../../src/log/read-only.ts';
import { verifyLog } from '../../src/log/verify.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { SimDisk, type SimFault, type SimOperation } from '../sim/sim-disk.ts';
import { draftOf, entriesOf, optionsOf, registersOf } from './fixtures.ts';
import { kinds, LogModel, type Audit, type Submission } from './log-model.ts';
import { seededRandom, type SeededRandom } from './seeded-random.ts';
import { TestClock } from './test-clock.ts';

export interface Plan {
  /** Decides what the process does. */
  readonly seed: number;
  /** Decides what is left by failures and crashes. */
  readonly diskSeed: number;
  readonly lives: number;
  readonly stepsPerLife: number;
  /** How the operation fails; the last life has no failures. */
  readonly fault: (operation: SimOperation) => SimFault | undefined;
}

interface Consumer {
  readonly name: string;
  /** What it has told the log to be done with. */
  cursor: number;
  evicted: boolean;
}

const ROUNDS_MAX = 200;

export class Scenario {
  readonly #plan: Plan;
  readonly #audit: Audit;
  readonly #random: SeededRandom;
  readonly #sim: SimDisk;
  readonly #clock = new TestClock();
  readonly #model: LogModel;
  readonly #options: LogOptions;
  #consumers: Consumer[];
  #life = 0;
  #consumersMade = 0;
  /** The last seq that was seen from outside while no process ran. */
  #looked: number | undefined;

  constructor(plan: Plan, audit: Audit) {
    this.#plan = plan;
    this.#audit = audit;
    this.#random = seededRandom(plan.seed);
    this.#sim = new SimDisk({ random: seededRandom(plan.diskSeed) });
    this.#model = new LogModel(audit);
    const small = this.#random.below(3) === 0;
    this.#options = optionsOf('/log', {
      segmentBytes: 800 + this.#random.below(3000),
      segmentMaxAgeMs: 5000,
      maxBytes: small ? 6000 + this.#random.below(6000) : 1e9,
      minAgeMs: this.#random.pick([0, 3000]),
      onFull: this.#random.pick(['block', 'evict']),
      compression: this.#random.below(2) === 0 ? 'zstd' : 'none',
    });
    this.#consumers = [this.#newConsumer(0), this.#newConsumer(0)];
  }

  async run(): Promise<void> {
    let afterFailure = false;
    for (let life = 0; life <= this.#plan.lives; life += 1) {
      const last = life === this.#plan.lives;
      this.#sim.capacityBytes = Number.POSITIVE_INFINITY;
      this.#sim.onOperation = last ? undefined : this.#plan.fault;
      const crashed = new Promise<'crashed'>((resolve) => {
        this.#sim.onCrash = () => {
          this.#life += 1;
          resolve('crashed');
        };
      });
      const end: 'closed' | 'failed' | 'crashed' = await Promise.race([this.#live(afterFailure, last), crashed]);
      this.#audit.reach(`life ${end}`);
      afterFailure = end === 'failed';
      this.#sim.onOperation = undefined;
      if (this.#random.below(4) === 0) await this.#look();
    }
  }

  /** Whatever a crash left, somebody who only looks sees what opening the log will heal to, and nothing that is damaged. */
  async #look(): Promise<void> {
    const runtime = { clock: this.#clock, random: seededRandom(1), disk: this.#sim.mount(), logger: silentLogger };
    const problems: string[] = [];
    for await (const { level, code, message } of verifyLog('/log', runtime)) if (level === 'problem' && code !== 'STATE_IDENTITY') problems.push(message);
    this.#audit.check(17, problems.length === 0, () => problems.join(' '));
    try {
      await using log = await openLogReadOnly('/log', runtime);
      this.#looked = log.durableSeq;
    } catch (error) {
      if (codeOf(error) !== 'STATE_IDENTITY') throw error;
      this.#looked = undefined;
    }
  }

  /** One process, from opening the log to the end. */
  async #live(afterFailure: boolean, last: boolean): Promise<'closed' | 'failed' | 'crashed'> {
    const { random } = this.#runtime();
    const life = this.#life;
    const looked = this.#looked;
    this.#looked = undefined;
    const runtime = { clock: this.#clock, random, disk: this.#sim.mount(), logger: silentLogger };
    const holds = this.#consumers.map(({ name, cursor }) => [name, cursor] as const);
    let log: LogStore;
    try {
      log = await openLog({ ...this.#options, holds }, runtime);
    } catch (error) {
      if (codeOf(error) !== 'DISK_FAILED' && codeOf(error) !== 'DISK_FULL') throw error;
      return 'failed';
    }
    const process = new Process(log, this.#model, this.#audit, this.#random);
    // What is left of a process that crashed may still think; nobody hears it.
    log.onEvicted((name) => life === this.#life && this.#evict(name, log));
    try {
      if (looked !== undefined) this.#audit.check(2, looked === log.durableSeq, () => `the log was seen to end at ${looked}, but heals to ${log.durableSeq}`);
      await this.#model.reopened(log, afterFailure);
      await process.attach(this.#consumers);
      for (let step = 0; step < this.#plan.stepsPerLife && life === this.#life; step += 1) await this.#step(process);
      if (life !== this.#life) return 'crashed';
      await this.#settle(process, life, last);
    } catch (error) {
      if (!isDiskFailure(error)) throw error;
    }
    if (life !== this.#life) return 'crashed';
    await process.close();
    return process.failed ? 'failed' : 'closed';
  }

  #runtime(): { random: SeededRandom } {
    return { random: seededRandom(this.#plan.seed + this.#life) };
  }

  async #step(process: Process): Promise<void> {
    const random = this.#random;
    const choice = random.below(100);
    if (choice < 40) for (let i = random.below(4); i >= 0; i -= 1) process.append(this.#draft());
    else if (choice < 60) await process.consume(random.pick(this.#consumers), 1 + random.below(6));
    else if (choice < 68) await process.readFromAnywhere();
    else if (choice < 74) this.#clock.advance(random.below(4000));
    else if (choice < 76) this.#sim.capacityBytes = this.#sim.usedBytes + random.below(1500);
    else if (choice < 82) this.#sim.capacityBytes = Number.POSITIVE_INFINITY;
    else if (choice < 85) process.abortLast();
    else if (choice < 92) await turn();
    else for (let i = random.below(12); i > 0; i -= 1) await Promise.resolve();
    if (process.log.condition !== 'ok') this.#audit.reach(`condition ${process.log.condition}`);
  }

  #draft(): FrameDraft {
    const random = this.#random;
    const label = `f${random.below(1_000_000)}`;
    const registers = registersOf(random.below(3) === 0 ? { [`r${random.below(6)}`]: random.below(4) === 0 ? null : label } : {});
    if (random.below(6) === 0) return draftOf(label, 0, { registers });
    const count = 1 + random.below(4);
    const long = random.below(40) === 0 ? 'long '.repeat(1000) : '';
    const rows = Array.from({ length: count }, (_, i) => `${label}/${i}/${'x'.repeat(random.below(200))}${long}`);
    return draftOf(label, count, { kind: random.pick(kinds), entries: entriesOf(rows), registers, snapshot: random.below(3) });
  }

  #newConsumer(cursor: number): Consumer {
    this.#consumersMade += 1;
    return { name: `index-${this.#consumersMade}`, cursor, evicted: false };
  }

  #evict(name: string, log: LogStore): void {
    const consumer = this.#consumers.find((other) => other.name === name);
    this.#audit.check(11, consumer !== undefined && this.#options.onFull === 'evict', () => `${name} was evicted`);
    this.#audit.reach('evicted');
    if (consumer !== undefined) consumer.evicted = true;
    const next = this.#newConsumer(log.durableSeq);
    this.#consumers = [...this.#consumers.filter((other) => other !== consumer), next];
    log.hold(next.name, next.cursor);
  }

  /** Faults end: everything that was appended becomes durable, or the log has failed. */
  async #settle(process: Process, life: number, last: boolean): Promise<void> {
    this.#sim.capacityBytes = Number.POSITIVE_INFINITY;
    for (let round = 0; process.pending > 0 && life === this.#life; round += 1) {
      if (round > ROUNDS_MAX) throw new Error(`${process.pending} appends wait for ever while the log is ${process.log.condition}`);
      for (const consumer of this.#consumers) await process.consume(consumer, 10);
      this.#clock.advance(1000);
      await turn();
    }
    if (life !== this.#life || process.failed) return;
    this.#model.checkRegisters(process.log);
    if (last) this.#audit.check(18, this.#model.submissions.every(({ acked, withdrawn }) => acked || withdrawn), () => 'an append was lost though the disk is well');
    const { bytes, segments } = process.log.stats();
    if (segments > 2) this.#audit.reach('many segments');
    if (process.log.firstSeq > 1) this.#audit.reach('segments removed');
    const files = this.#sim.files().filter((path) => path.endsWith('.seg'));
    this.#audit.check(3, files.length >= segments && bytes <= this.#sim.usedBytes, () => `${segments} segments of ${bytes} bytes are ${files.join(' ')}`);
  }
}

/** What runs in one process: the log, its producers and its consumers. */
class Process {
  readonly log: LogStore;
  readonly #model: LogModel;
  readonly #audit: Audit;
  readonly #random: SeededRandom;
  readonly #readers = new Map<Consumer, { readonly reader: LogReader; last: number | undefined }>();
  #lastAbort: AbortController | undefined;
  pending = 0;
  failed = false;

  constructor(log: LogStore, model: LogModel, audit: Audit, random: SeededRandom) {
    this.log = log;
    this.#model = model;
    this.#audit = audit;
    this.#random = random;
  }

  async attach(consumers: readonly Consumer[]): Promise<void> {
    for (const consumer of consumers) await this.consume(consumer, 1);
  }

  append(draft: FrameDraft): void {
    const submission = this.#model.submit(draft);
    this.#lastAbort = new AbortController();
    this.pending += 1;
    this.log.append(submission.draft, this.#lastAbort.signal).then(
      (appended) => {
        this.pending -= 1;
        this.#model.acknowledge(submission, appended);
      },
      (error: unknown) => this.#rejected(submission, error),
    );
  }

  #rejected(submission: Submission, error: unknown): void {
    this.pending -= 1;
    if (isAbort(error)) {
      this.#model.withdraw(submission);
      return;
    }
    this.failed = true;
    this.#audit.check(18, codeOf(error) === 'DISK_FAILED', () => `an append was rejected with ${String(error)}`);
  }

  abortLast(): void {
    this.#lastAbort?.abort();
  }

  /** Reads on for a consumer and tells the log how far it is done. */
  async consume(consumer: Consumer, frames: number): Promise<void> {
    const place = this.#readers.get(consumer) ?? { reader: this.log.reader(consumer.cursor), last: undefined };
    this.#readers.set(consumer, place);
    for (let i = 0; i < frames; i += 1) {
      let frame;
      try {
        frame = await place.reader.poll();
      } catch (error) {
        if (!consumer.evicted) this.#audit.check(11, codeOf(error) !== 'LOG_GAP', () => `${consumer.name} at ${consumer.cursor} met ${String(error)}`);
        if (codeOf(error) === 'LOG_GAP') return;
        throw error;
      }
      if (frame === undefined) break;
      this.#audit.check(11, frame.firstSeq <= consumer.cursor + 1, () => `${consumer.name} at ${consumer.cursor} was handed seq ${frame.firstSeq}`);
      place.last = this.#model.read(frame, place.last, this.log);
      consumer.cursor = Math.max(consumer.cursor, frame.lastSeq);
    }
    if (!consumer.evicted) this.log.hold(consumer.name, consumer.cursor);
  }

  async readFromAnywhere(): Promise<void> {
    const after = this.log.firstSeq - 1 + this.#random.below(this.log.durableSeq - this.log.firstSeq + 2);
    await using reader = this.log.reader(after);
    let last: number | undefined;
    try {
      for (let frame = await reader.poll(); frame !== undefined; frame = await reader.poll()) {
        if (last === undefined && frame.count > 0) this.#audit.check(14, frame.firstSeq <= after + 1 && frame.lastSeq > after, () => `reading behind ${after} began with seq ${frame.firstSeq}`);
        last = this.#model.read(frame, last, this.log);
      }
    } catch (error) {
      // Nothing holds what this reader wants: retention may be faster.
      if (codeOf(error) !== 'LOG_GAP') throw error;
    }
  }

  async close(): Promise<void> {
    for (const closing of [...Array.from(this.#readers.values(), ({ reader }) => reader), this.log]) {
      try {
        await closing[Symbol.asyncDispose]();
      } catch (error) {
        if (!isDiskFailure(error)) throw error;
        this.failed = true;
      }
    }
  }
}

/** A disk that fails may fail again while what was open is closed. */
function isDiskFailure(error: unknown): boolean {
  return codeOf(error instanceof SuppressedError ? error.error : error) === 'DISK_FAILED';
}
