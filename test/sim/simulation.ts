/**
 * One run: a world made from a seed, chaos for a while, then peace, and the question whether every promise was kept.
 */
import { silentLogger } from '../../src/runtime/logger.ts';
import type { GenerationRecord } from '../../src/state/state-store.ts';
import { isAbort } from '../../src/errors/tailrace-error.ts';
import type { Finding } from './audit/findings.ts';
import { auditConvergence } from './audit/g04-convergence.ts';
import { auditVerified, damageIndices } from './audit/g04-verified.ts';
import { auditReplay, startReplay } from './audit/g08-replay.ts';
import { auditIdentity } from './audit/g09-identity.ts';
import { auditAccounting } from './audit/g11-accounting.ts';
import { auditWholeLog } from './audit/g13-whole-log.ts';
import { SimClock } from './kernel/sim-clock.ts';
import { SimProcess } from './kernel/sim-process.ts';
import { SimRandom } from './kernel/sim-random.ts';
import type { HistoryTransaction } from './source/history.ts';
import { DATA_DIRECTORY, describeError } from './world/daemon.ts';
import { Faults } from './world/faults.ts';
import { Operator } from './world/operator.ts';
import { planOf, type Plan, type TransactionKind } from './world/plan.ts';
import type { SimServer } from './source/sim-server.ts';
import type { Workload } from './world/workload.ts';
import { World } from './world/world.ts';

/** When faults end, everything must be in step within this, whatever pauses had grown by then. */
const RECOVER_WITHIN_MS = 100_000;

/** Idle time after that, in which nothing may change. */
const QUIET_MS = 6_000;

/** What changes whole tables, and how likely it happens just when a part of one is being read. */
const DRASTIC = ['truncate', 'silent', 'rewrite', 'addColumnWithDefault'] as const;
const AT_READ_SHARE = 0.02;

export interface SimulationOptions {
  readonly seed: number;
  readonly keepTrace?: boolean;
  /** Changes what the seed has planned. */
  readonly replan?: (plan: Plan) => Plan;
}

export interface SimulationResult {
  readonly seed: number;
  readonly findings: readonly Finding[];
  readonly coverage: Readonly<Record<string, number>>;
  /** Equal for equal runs. */
  readonly traceHash: string;
  readonly trace: readonly string[];
  readonly steps: number;
  readonly virtualMs: number;
  readonly plan: Plan;
}

export async function simulate({ seed, keepTrace = false, replan = (plan) => plan }: SimulationOptions): Promise<SimulationResult> {
  const random = new SimRandom(seed);
  const plan = replan(planOf(random.fork('plan')));
  const world = new World(seed, plan, random.fork('world'), keepTrace);
  await new Simulation(world).run();
  const { findings, coverage, trace, executor } = world;
  return { seed, findings: findings.list, coverage: coverage.counts(), traceHash: trace.hash, trace: trace.lines(), steps: executor.steps, virtualMs: executor.nowMs, plan };
}

class Simulation {
  readonly #world: World;
  readonly #operator: Operator;
  readonly #faults: Faults;
  #working = true;

  constructor(world: World) {
    this.#world = world;
    this.#operator = new Operator(world);
    this.#faults = new Faults(world, this.#operator);
  }

  async run(): Promise<void> {
    const world = this.#world;
    this.#operator.begin();
    for (const [name, workload] of world.workloads) this.#work(workload, world.servers.get(name) as SimServer);
    this.#faults.begin();
    if (world.plan.indices.some(({ late }) => late)) world.executor.after(world.plan.chaosMs / 2, 'the config gets more indices', () => this.#operator.addLateIndices());
    await this.#until(() => false, world.plan.chaosMs);
    this.#working = false;
    this.#faults.end();
    await this.#settle('after the faults');
    if (world.findings.any) return;
    this.#auditIndices();
    await this.#afterwards();
    if (!world.findings.any) await this.#auditLog();
  }

  /** What is tried when all is well. */
  async #afterwards(): Promise<void> {
    const world = this.#world;
    const random = world.random.fork('afterwards');
    if (!world.findings.any && random.chance(0.5)) await this.#verify(random);
    if (!world.findings.any && random.chance(0.5)) {
      const before = await startReplay(world, random, async () => this.#stop());
      this.#operator.resume();
      await this.#settle('after the replay');
      if (!world.findings.any) auditReplay(world, before);
    }
    if (!world.findings.any && random.chance(0.3)) await auditIdentity(world, async () => this.#stop(), async (ms) => this.#until(() => false, ms));
    else if (!world.findings.any) await this.#stop();
  }

  /** Somebody has been at the indices: all of it is found and mended. */
  async #verify(random: SimRandom): Promise<void> {
    const world = this.#world;
    const damaged = damageIndices(world, random);
    // What was taken to be the newest is not there any more, or never was.
    world.versions.wentBack();
    for (const one of damaged) {
      world.coverage.saw('damage was found and repaired');
      const { signal } = new AbortController();
      const asked = world.daemon?.ask(async (pipeline) => pipeline.verifications.begin({ index: one.index.name, extent: 'all', repair: true, rowsPerSecond: null }, signal).ended);
      let isOver = false;
      asked?.then(
        (verified) => {
          isOver = true;
          if (verified !== null) auditVerified(world, one, verified);
        },
        (error: unknown) => {
          isOver = true;
          world.findings.add('G4', `a verification of ${one.index.name} is answered with ${describeError(error)}`);
        },
      );
      await this.#until(() => isOver, RECOVER_WITHIN_MS);
      world.findings.expect('live', isOver, () => `a verification of ${one.index.name} does not come to its end`);
      if (world.findings.any) return;
    }
    await this.#settle('after the repair');
    if (!world.findings.any) this.#auditIndices();
  }

  /** Applications do something to a database, again and again. */
  #work(workload: Workload, server: SimServer): void {
    const world = this.#world;
    const random = world.random.fork(`work ${server.name}`);
    const { pauseMs, idleShare, hideMs, kinds } = world.plan.workload;
    const next = (): void => {
      const pause = random.chance(idleShare) ? random.real(1_000, 4_000) : random.pause(pauseMs);
      world.executor.after(pause, `${server.name} work`, () => {
        if (!this.#working) return;
        step(random.weighted<TransactionKind>(kinds));
        next();
      });
    };
    const step = (wanted: TransactionKind): void => {
      const { kind, hiddenId } = workload.step(wanted);
      world.coverage.saw(`workload: ${kind}`);
      server.committed();
      world.executor.note(`${server.name} ${kind} ${hiddenId === null ? '' : `hidden ${hiddenId} `}${lastOf(server.database.history)}`);
      if (hiddenId === null) return;
      world.coverage.saw('a transaction was hidden');
      world.executor.after(random.pause(hideMs), `${server.name} shows ${hiddenId}`, () => server.database.show(hiddenId));
    };
    const drastic = DRASTIC.filter((kind) => kinds[kind] > 0);
    server.onRead = () => {
      if (this.#working && drastic.length > 0 && random.chance(AT_READ_SHARE)) world.executor.after(random.real(0, 3), `${server.name} drastic work`, () => step(random.pick(drastic)));
    };
    next();
  }

  /** Waits until everything is in step; a finding when it does not come to that. */
  async #settle(when: string): Promise<void> {
    const { executor, findings } = this.#world;
    const deadlineMs = executor.nowMs + RECOVER_WITHIN_MS;
    while (!findings.any) {
      if (executor.nowMs >= deadlineMs) {
        this.#noteStanding();
        return findings.add('live', `${when}: not everything is in step ${RECOVER_WITHIN_MS} ms later`);
      }
      if (await this.#isCaughtUp(deadlineMs)) break;
      await this.#until(() => false, 50);
    }
    const { daemon } = this.#world;
    await this.#until(() => false, QUIET_MS);
    if (this.#world.daemon !== daemon) await this.#settle(when);
  }

  /** Puts into the trace how everything stands. */
  #noteStanding(): void {
    const { daemon, executor } = this.#world;
    executor.note(`status ${JSON.stringify(daemon?.status ?? null)}`);
    executor.note(`log ${JSON.stringify(daemon?.log?.stats() ?? null)}`);
    for (const [name, { database }] of this.#world.servers) executor.note(`${name} ends at ${database.end}`);
  }

  async #isCaughtUp(deadlineMs: number): Promise<boolean> {
    const { daemon, executor } = this.#world;
    if (daemon === null || !daemon.process.alive || daemon.pipeline === null) return false;
    if (daemon.config.indices.length < this.#world.plan.indices.length) return false;
    const wait = new AbortController();
    const waiting: { outcome: 'waiting' | 'caught up' | 'failed' } = { outcome: 'waiting' };
    daemon.caughtUp(wait.signal).then(
      () => (waiting.outcome = 'caught up'),
      (error: unknown) => {
        waiting.outcome = 'failed';
        if (!isAbort(error)) executor.note(`caughtUp fails with ${describeError(error)}`);
      },
    );
    await this.#until(() => waiting.outcome !== 'waiting' || !daemon.process.alive, deadlineMs - executor.nowMs);
    wait.abort();
    return waiting.outcome === 'caught up';
  }

  /** Runs the world for `ms` of virtual time, or until `done` or the first finding. */
  async #until(done: () => boolean, ms: number): Promise<void> {
    const { executor, findings } = this.#world;
    await executor.run(() => findings.any || done(), executor.nowMs + ms);
  }

  async #stop(): Promise<void> {
    const { daemon } = this.#world;
    if (daemon === null) return;
    this.#operator.rest();
    this.#world.executor.note(`${daemon.process.name} is told to stop at last`);
    daemon.stop().catch(() => {});
    await this.#until(() => !daemon.process.alive, 10_000);
    this.#world.findings.expect('live', !daemon.process.alive, () => 'the daemon was told to stop, and has not within 10 s');
  }

  /** No process lives any more. */
  async #auditLog(): Promise<void> {
    const { findings, machine, executor, random } = this.#world;
    machine.disk.onOperation = undefined;
    const clock = new SimClock(new SimProcess('verify', executor), machine.wall);
    await auditWholeLog(findings, `${DATA_DIRECTORY}/log`, { disk: machine.disk.mount(), clock, random: random.fork('verify'), logger: silentLogger });
  }

  #hasStopped({ index, generation }: GenerationRecord): boolean {
    const status = this.#world.daemon?.status?.indices.find(({ name }) => name === index);
    return status?.generations.find((one) => one.generation === generation)?.condition === 'stopped';
  }

  #auditIndices(): void {
    const world = this.#world;
    for (const index of world.indices) {
      const record = world.record(index.name);
      const server = world.servers.get(index.source);
      if (record === undefined || server === undefined) {
        world.findings.add('G4', `${index.name} has no generation`);
        continue;
      }
      const storage = world.storage(index);
      const promoted = storage.promoted(index.name);
      world.findings.expect('G4', promoted !== undefined && promoted === storage.index(index.name).generations.get(record.generation), () => `readers of ${index.name} do not see generation ${record.generation}`);
      // One that can be gone back to is in step as well as the one that readers see.
      for (const one of world.records(index.name).filter((other) => other.phase !== 'dropping' && !other.abandoned && !this.#hasStopped(other))) {
        if (one.phase === 'retired') world.coverage.saw('a retired generation was compared');
        auditConvergence(world.findings, { index, record: one, kept: world.kept(index, one.generation), epoch: world.epoch, database: server.database, book: world.book, letters: world.letters(one) });
      }
    }
    for (const status of world.daemon?.status?.indices ?? []) auditAccounting(world.findings, status);
  }
}

function lastOf(history: readonly HistoryTransaction[]): string {
  const last = history.at(-1);
  if (last === undefined) return '';
  const changes = last.changes.map((change) => `${change.kind} ${change.table}${change.kind === 'delete' ? ` ${change.key}` : change.kind === 'insert' || change.kind === 'update' ? ` ${change.values[0]}` : ''}`);
  return `${last.id} at ${last.commitAt}..${last.end}: ${changes.slice(0, 8).join(', ')}${changes.length > 8 ? ` and ${changes.length - 8} more` : ''}`;
}
