/**
 * Whoever runs the daemon: starts it again when it died, builds again what only a rebuild mends, restores backups, starts a second one by
 * mistake, and looks at the status.
 */
import { basename } from 'node:path';
import { codeOf } from '../../../src/errors/tailrace-error.ts';
import type { PipelineStatus } from '../../../src/pipeline/status.ts';
import type { GenerationRecord } from '../../../src/state/state-store.ts';
import { auditBounds } from '../audit/g12-bounds.ts';
import { StatusAuditor } from '../audit/g14-honest-status.ts';
import { takes } from '../audit/expected-index.ts';
import { sourceNowMs } from '../kernel/sim-clock.ts';
import type { SimRandom } from '../kernel/sim-random.ts';
import { Backups } from './backups.ts';
import { describeError, type Daemon } from './daemon.ts';
import type { IndexPlan } from './plan.ts';
import type { World } from './world.ts';

const WATCH_EVERY_MS = 150;

/** A daemon that is told to stop must have ended by then. */
const STOP_WITHIN_MS = 10_000;

/** How old the status may be: the time between two looks at the source's head, and some travel. */
const STATUS_AGE_MS = 2_500 + 1_500;

/** What may be missing in an index that is called ready: the limit of the config, and what came since. */
const READY_LIMIT_MS = 3_000 + STATUS_AGE_MS;

/** What the engine may hold on top of its budget: a frame in the making, the piece that is being taken in, chunks that are being merged. */
const BUDGET_SLACK_BYTES = 200_000;

/** What somebody makes of the log's size limit when an index was given up for it. */
const LOG_RAISED_BYTES = 1_000_000_000;

export type Intervention = 'stop' | 'restore state' | 'restore target' | 'flip a bit';

export class Operator {
  readonly #world: World;
  readonly #random: SimRandom;
  readonly #backups: Backups;
  readonly #statuses: StatusAuditor;
  #rebuild = new Set<string>();
  #starting = false;
  #resting = false;
  /** Files in which a bit was flipped at some time. */
  readonly #damaged = new Set<string>();
  #flipped: { readonly path: string; readonly bit: number } | null = null;
  /** Errors that faults of this run explain. */
  readonly #excused = new Set<string>();

  constructor(world: World) {
    this.#world = world;
    this.#random = world.random.fork('operator');
    this.#backups = new Backups(world, world.random.fork('backups'));
    this.#statuses = new StatusAuditor(world.findings, { readyMs: READY_LIMIT_MS, lagMs: STATUS_AGE_MS });
    const { faults, log } = world.plan;
    if (faults.diskFails !== Infinity) this.#excused.add('DISK_FAILED');
    if (faults.diskFull !== Infinity) this.#excused.add('DISK_FULL').add('DISK_FAILED');
    if (faults.historyLost !== Infinity) this.#excused.add('SRC_HISTORY_LOST');
    if (faults.bitFlip !== Infinity) this.#excused.add('LOG_CORRUPT');
    // A full log waits for no generation that has gone back from its readers.
    if (log.maxBytes < 1_000_000_000 && faults.generations !== Infinity) this.#excused.add('LOG_EVICTED').add('LOG_GAP');
    if (log.onFull === 'evict' && log.maxBytes < Infinity) this.#excused.add('LOG_EVICTED').add('LOG_GAP');
    if (faults.stateRestored !== Infinity || faults.targetRestored !== Infinity) this.#excused.add('LOG_GAP');
  }

  begin(): void {
    this.#start();
    this.#watch();
  }

  /** The config gets the indices that it lacked: at the next start, which comes soon. */
  addLateIndices(): void {
    this.#world.withLate = true;
    if (this.stopAndStart('stop')) this.#world.coverage.saw('an index was added later');
    else this.#world.executor.after(50, 'the new config waits', () => this.addLateIndices());
  }

  /** Stops the daemon in good order, does something to what is at rest, and starts it again. False when no daemon runs that could be stopped. */
  stopAndStart(intervention: Intervention): boolean {
    const { daemon, executor, findings } = this.#world;
    if (this.#starting || daemon === null || !daemon.process.alive || daemon.pipeline === null) return false;
    const { process } = daemon;
    executor.note(`${process.name} is told to stop: ${intervention}`);
    const askedMs = executor.nowMs;
    this.#starting = true;
    daemon.stop().catch(() => {});
    const look = (): void => {
      if (process.alive && executor.nowMs - askedMs < STOP_WITHIN_MS) {
        executor.after(5, 'wait for the end', look);
        return;
      }
      findings.expect('live', !process.alive, () => `${process.name} was told to stop ${STOP_WITHIN_MS} ms ago, and has not`);
      this.#intervene(intervention);
      this.#starting = false;
      this.#startSoon();
    };
    look();
    return true;
  }

  /** Somebody starts a second daemon on the same directory: it must not get to do anything. */
  startSecond(): void {
    const { daemon, executor, findings, coverage } = this.#world;
    if (daemon === null || !daemon.process.alive || daemon.pipeline === null) return;
    const second = this.#world.makeDaemon();
    executor.note(`${second.process.name} is started beside ${daemon.process.name}`);
    second.process.onDeath(() => {
      if (second.ended === null) return;
      coverage.saw('a second daemon was turned away');
      findings.expect('G10', codeOf(second.ended.error) === 'LOCK_HELD', () => `the second daemon ended with ${describeError(second.ended?.error)}`);
    });
    second.start([]);
    executor.after(200, 'look at the second daemon', () => findings.expect('G10', second.pipeline === null && !second.process.alive, () => 'a second daemon runs on the same data directory'));
  }

  /** The documents of an index are as they were earlier: what is behind the cursor is due again. */
  cursorsWentBack(index: IndexPlan): void {
    for (const record of this.#world.records(index.name)) {
      this.#world.cursors.putBack(record);
      this.#world.forgetCursorAtStart(record.index, record.generation);
    }
  }

  /** An index is built again, or another of its generations is shown or dropped. */
  changeGenerations(): void {
    const { daemon, indices, executor } = this.#world;
    const { name } = this.#random.pick(indices);
    const records = this.#world.records(name);
    if (daemon === null || records.length === 0) return;
    const act = this.#random.pick(['resync', 'resync', 'resync and hold', 'cancel', 'promote', 'promote', 'promote', 'drop'] as const);
    // Mostly what can be done, now and then anything.
    const able = records.filter(({ phase }) => phase === 'retired' || (phase === 'ready' && act === 'promote') || (phase === 'building' && act === 'drop'));
    const { generation } = this.#random.pick(able.length > 0 && this.#random.chance(0.9) ? able : records);
    executor.note(`somebody asks: ${act} ${name} ${generation}`);
    daemon.command((pipeline) => {
      if (act === 'cancel') pipeline.cancelResync(name);
      else if (act === 'promote') pipeline.promote(name, generation);
      else if (act === 'drop') pipeline.drop(name, generation);
      else pipeline.resync(name, act === 'resync and hold');
      this.#world.coverage.saw(`asked to ${act}`);
    });
  }

  /** Somebody has an index compared with its table while everything goes on: what is found was not done by anybody. */
  verify(): void {
    const { daemon, indices, executor, findings, coverage } = this.#world;
    const index = this.#random.pick(indices);
    const { signal } = new AbortController();
    const extent = this.#random.chance(0.3) ? { share: this.#random.real(0.1, 0.9) } : 'all';
    executor.note(`somebody asks: verify ${index.name}`);
    const asked = daemon?.ask(async (pipeline) => pipeline.verifications.begin({ index: index.name, extent, repair: this.#random.chance(0.3), rowsPerSecond: null }, signal).ended);
    asked?.then(
      (verified) => {
        if (verified === null || this.#mayDiffer(index)) return;
        const { report, found } = verified;
        if (report.to_seq > report.from_seq) coverage.saw('an index was compared while its table was written');
        for (const { id, kind, field, storedVersion, seq } of found) findings.add('G4', `${index.name} ${report.generation}: ${id} is said to be ${kind} (${field}, version ${storedVersion}) at seq ${seq}, and nobody has been at it`);
      },
      (error: unknown) => executor.note(`a verification of ${index.name} is answered with ${describeError(error)}`),
    );
  }

  /** What is to be read again waits for a person; or something was put back to an earlier time. */
  #mayDiffer({ source, table }: IndexPlan): boolean {
    const { faults } = this.#world.plan;
    if (faults.targetRestored !== Infinity || faults.stateRestored !== Infinity || faults.historyLost !== Infinity) return true;
    for (const snapshot of this.#world.book.snapshots.values()) if (snapshot.source === source && snapshot.table === table && snapshot.selection.kind === 'all' && snapshot.paused) return true;
    return false;
  }

  unflip(): void {
    if (this.#flipped === null) return;
    const { path, bit } = this.#flipped;
    this.#flipped = null;
    const { disk } = this.#world.machine;
    if (disk.files().includes(path)) disk.flipBit(path, bit);
  }

  /** Makes a source's indices be built again at the next start. */
  rebuild(source: string): void {
    this.#rebuild.add(source);
  }

  /** From now on a daemon that has ended stays so, and nobody looks at its status. */
  rest(): void {
    this.#resting = true;
  }

  /** Starts the daemon again. */
  resume(): void {
    this.#resting = false;
    this.#ensureStarted();
  }

  #ensureStarted(): void {
    const { daemon } = this.#world;
    if (!this.#starting && (daemon === null || !daemon.process.alive)) this.#start();
  }

  #intervene(intervention: Intervention): void {
    const world = this.#world;
    if (intervention === 'restore state' && this.#backups.restoreState()) world.coverage.saw('an older cursor was restored');
    if (intervention === 'restore target' && this.#backups.restoreTarget()) world.coverage.saw('an older target was restored');
    if (intervention === 'flip a bit') this.#flip();
  }

  #flip(): void {
    const { disk } = this.#world.machine;
    const sealed = disk.files().filter((path) => path.endsWith('.seg')).toSorted().slice(0, -1);
    if (sealed.length === 0 || this.#flipped !== null) return;
    const path = this.#random.pick(sealed);
    const bit = this.#random.between(0, disk.contents(path).length * 8 - 1);
    this.#world.executor.note(`bit ${bit} of ${path} flips`);
    disk.flipBit(path, bit);
    this.#flipped = { path, bit };
    this.#damaged.add(path);
    this.#world.coverage.saw('a bit flipped in the log');
  }

  #startSoon(): void {
    if (this.#starting || this.#resting) return;
    this.#starting = true;
    this.#world.executor.after(this.#random.pick([1, 20, 500]), 'start', () => {
      this.#starting = false;
      this.#ensureStarted();
    });
  }

  #start(): void {
    const rebuild = [...this.#rebuild];
    this.#rebuild.clear();
    const daemon = this.#world.startDaemon(rebuild);
    this.#statuses.forget();
    daemon.process.onDeath(() => this.#onDeath(daemon, rebuild));
  }

  #onDeath(daemon: Daemon, rebuild: readonly string[]): void {
    // A rebuild that did not get as far as to begin is asked for again.
    for (const source of rebuild) if (daemon.ended === null || daemon.ended.error !== null || this.#isHalfDropped(source)) this.#rebuild.add(source);
    if (daemon.ended !== null && daemon.ended.error !== null) this.#judgeExit(daemon.ended.error);
    this.#startSoon();
  }

  /** The server has nothing for us any more, and the log knows a position still: the daemon ended between the two. */
  #isHalfDropped(source: string): boolean {
    const { servers, prefixes } = this.#world;
    return servers.get(source)?.slot === null && prefixes.get(source)?.position !== -1;
  }

  #judgeExit(error: unknown): void {
    const { findings, coverage } = this.#world;
    const code = codeOf(error);
    findings.expect('stop', code !== undefined && this.#excused.has(code), () => `the daemon ended with ${describeError(error)}`);
    if (code === 'LOG_CORRUPT') {
      coverage.saw('damage of the log was noticed');
      // The bit may have been put right since it was read.
      const isTrue = [...this.#damaged].some((path) => describeError(error).includes(basename(path)));
      findings.expect('G13', isTrue, () => `the log is called damaged, and is not: ${describeError(error)}`);
      this.unflip();
    }
  }

  #watch(): void {
    this.#world.executor.after(WATCH_EVERY_MS, 'watch', () => {
      const { daemon } = this.#world;
      if (!this.#resting && daemon?.process.alive === true && daemon.pipeline !== null && daemon.status !== null) this.#look(daemon.status);
      if (this.#random.chance(0.1)) this.#backups.take();
      this.#watch();
    });
  }

  #look(status: PipelineStatus): void {
    const world = this.#world;
    const { bufferedBytes } = world.plan;
    const maxBytes = world.daemon?.config.log.max_bytes ?? Infinity;
    auditBounds(world.findings, status, { bufferedBytes, slackBytes: BUDGET_SLACK_BYTES, logBytes: maxBytes, logSlackBytes: maxBytes / 2 + BUDGET_SLACK_BYTES });
    this.#statuses.look(status, this.#oldestMissing(status), world.executor.nowMs);
    if (world.findings.any) world.executor.note(`status ${JSON.stringify(status)}`);
    for (const { name, phase, error } of status.sources) if (phase === 'stopped') this.#judgeStop(`source ${name}`, error?.code, name);
    for (const { name, phase, error, generations, verify } of status.indices) {
      const last = verify?.last;
      if (last?.reason === 'swap' && last.differences > 0 && !this.#mayDiffer(world.index(name))) world.findings.add('G4', `generation ${last.generation} of ${name} was found to differ before it was shown: ${JSON.stringify(last.kinds)}`);
      if (phase === 'stopped') this.#judgeStop(`index ${name}`, error?.code, world.index(name).source);
      for (const one of generations) {
        if (one.condition !== 'stopped') continue;
        // One that nobody sees and nobody waits for is no reason to do anything.
        if (one.phase === 'building' || (one.phase === 'ready' && !one.held)) this.#judgeStop(`generation ${one.generation} of ${name}`, one.error?.code, world.index(name).source);
        else this.#expectExcused(`generation ${one.generation} of ${name}`, one.error?.code);
      }
    }
  }

  #judgeStop(what: string, code: string | undefined, source: string): void {
    const { findings, coverage } = this.#world;
    this.#expectExcused(what, code);
    if (this.#starting || findings.any) return;
    // What made an index fall behind once would do so again while it is built.
    if (code === 'LOG_EVICTED') this.#world.logBytesMax = LOG_RAISED_BYTES;
    if (code === 'LOG_CORRUPT') this.unflip();
    else {
      coverage.saw('a source was built again');
      this.#rebuild.add(source);
    }
    this.stopAndStart('stop');
  }

  #expectExcused(what: string, code: string | undefined): void {
    this.#world.findings.expect('stop', code !== undefined && this.#excused.has(code), () => `${what} stopped with ${code}`);
  }

  #oldestMissing(status: PipelineStatus): Map<string, number | null> {
    const world = this.#world;
    const nowMs = sourceNowMs(world.executor.nowMs);
    const missing = new Map<string, number | null>();
    for (const { name, cursor } of status.indices) {
      const index = world.index(name);
      const record = world.record(name);
      if (record === undefined || cursor === null) continue;
      missing.set(name, this.#oldestUnapplied(index, record, cursor, nowMs) ?? world.prefixes.get(index.source)?.oldestMissingMs(index.table, nowMs) ?? null);
    }
    return missing;
  }

  #oldestUnapplied(index: IndexPlan, record: GenerationRecord, cursor: number, nowMs: number): number | null {
    const { book } = this.#world;
    for (let at = book.placeBehind(cursor); at < book.items.length; at += 1) {
      const item = book.items[at];
      if (item?.kind === 'entry' && item.commitTimeMs !== null && takes(book, record, index, item)) return nowMs - item.commitTimeMs;
    }
    return null;
  }
}
