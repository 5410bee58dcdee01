/** What goes wrong while a run lasts: each kind of fault comes by itself, again and again, for as long as the chaos does. */
import { FrameKind } from '../../../src/connector/log-store.ts';
import type { CrashKind, SimOperationKind } from '../sim-disk.ts';
import type { SimRandom } from '../kernel/sim-random.ts';
import type { FaultKind } from './plan.ts';
import type { Operator } from './operator.ts';
import { Selections } from './selections.ts';
import type { TargetServer } from './sim-target.ts';
import type { World } from './world.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const SEAMS_MAX = 150;

/** Disk operations that are rare, and most of all worth a death in their middle. */
const RARE_OPERATIONS = ['create', 'remove', 'truncate', 'syncDirectory', 'datasync', 'write'] as const;
const AT_DISK_SHARE = 0.2;

/** How likely the write of a snapshot's frame is cut short: of a large one, which is not its chunk's only one, and of any other. */
const AT_LARGE_FRAME_SHARE = 0.2;
const AT_SMALL_FRAME_SHARE = 0.003;
const LARGE_FRAME_BYTES = 5_000;
const LARGE_FRAME_CHANGES = 40;

/** What the daemon says just before moments at which a death matters more than at others, how likely it then dies, and how soon. */
const MOMENTS: ReadonlySet<string> = new Set(['log_full', 'log_disk_full', 'snapshot_planned', 'snapshot_done', 'snapshot_replanned', 'index_swept', 'index_serving', 'generation_begun', 'generation_ready', 'generation_retired', 'generation_dropped', 'documents_parked', 'log_tail_healed']);
const AT_MOMENT_SHARE = 0.1;
const MOMENT_SEAMS_MAX = 12;

/** A stop passes few seams. */
const STOP_SEAMS_MAX = 3;

export class Faults {
  readonly #world: World;
  readonly #operator: Operator;
  readonly #random: SimRandom;
  readonly #selections: Selections;
  #over = false;

  constructor(world: World, operator: Operator) {
    this.#world = world;
    this.#operator = operator;
    this.#random = world.random.fork('faults');
    this.#selections = new Selections(world, world.random.fork('selections'));
  }

  begin(): void {
    for (const kind of Object.keys(this.#acts) as FaultKind[]) this.#repeat(kind);
    if (this.#world.plan.faults.kill === Infinity) return;
    this.#world.onLogLine = ({ event }) => {
      if (!this.#over && MOMENTS.has(event) && this.#random.chance(AT_MOMENT_SHARE)) this.#killSoon(MOMENT_SEAMS_MAX);
    };
    this.#world.onAppending = ({ kind, count, entries }) => {
      const isLarge = count >= LARGE_FRAME_CHANGES || entries.length >= LARGE_FRAME_BYTES;
      if (!this.#over && kind === FrameKind.snapshot && this.#random.chance(isLarge ? AT_LARGE_FRAME_SHARE : AT_SMALL_FRAME_SHARE)) this.#killAtDisk(['write', 'datasync']);
    };
  }

  /** No new faults, and what is wrong is mended. */
  end(): void {
    this.#over = true;
    const world = this.#world;
    for (const server of world.servers.values()) {
      server.reachable = true;
      Object.assign(server.weather, { delayMs: 1, cutChance: 0 });
    }
    for (const target of world.targets.values()) this.#mend(target);
    world.machine.disk.capacityBytes = Infinity;
    // Somebody sets the clock right, or more wrong, when nothing else goes on.
    if (world.plan.faults.clockJump !== Infinity) world.machine.wall.offsetMs = this.#random.pick([-DAY_MS, 0]);
    world.diskTrouble.failNext = null;
    world.diskTrouble.killAt = null;
    world.daemon?.process.dieAfterSeams(Infinity);
    this.#operator.unflip();
    this.#selections.resumeAll();
  }

  readonly #acts: Readonly<Record<FaultKind, () => void>> = {
    kill: () => this.#kill(),
    stop: () => this.#stop(),
    sourceCut: () => this.#random.pick([...this.#world.servers.values()]).cutReader('cut'),
    sourceDown: () => this.#sourceDown(),
    networkTrouble: () => this.#networkTrouble(),
    targetTrouble: () => this.#targetTrouble(),
    targetStall: () => this.#targetStall(),
    targetCrash: () => this.#targetCrash(),
    forgetDeletes: () => this.#forgetDeletes(),
    diskFull: () => this.#diskFull(),
    diskFails: () => (this.#world.diskTrouble.failNext = this.#random.pick(['datasync', 'datasync', 'write', 'syncDirectory'] as const)),
    secondDaemon: () => this.#operator.startSecond(),
    stateRestored: () => this.#operator.stopAndStart('restore state'),
    targetRestored: () => this.#operator.stopAndStart('restore target'),
    bitFlip: () => this.#operator.stopAndStart('flip a bit'),
    historyLost: () => this.#random.pick([...this.#world.servers.values()]).loseHistory(),
    generations: () => this.#operator.changeGenerations(),
    selections: () => this.#selections.act(),
    verifications: () => this.#operator.verify(),
    clockJump: () => (this.#world.machine.wall.offsetMs = this.#random.pick([-DAY_MS, -1_000, 0, 5_000, DAY_MS])),
  };

  #repeat(kind: FaultKind): void {
    const mean = this.#world.plan.faults[kind];
    if (mean === Infinity) return;
    this.#world.executor.after(this.#random.pause(mean), `fault ${kind}`, () => {
      if (this.#over) return;
      this.#world.coverage.saw(`fault: ${kind}`);
      this.#acts[kind]();
      this.#repeat(kind);
    });
  }

  #for(ms: number, what: string, undo: () => void): void {
    this.#world.executor.after(ms, `${what} ends`, undo);
  }

  #kill(): void {
    const { machine, daemon, plan } = this.#world;
    if (daemon === null || !daemon.process.alive) return;
    machine.deathAtSeam = this.#deathKind();
    if (this.#random.chance(AT_DISK_SHARE)) this.#killAtDisk(RARE_OPERATIONS);
    else if (this.#random.chance(plan.faults.seamShare)) this.#killSoon(SEAMS_MAX);
    else machine.crash(machine.deathAtSeam, 'killed');
  }

  #killSoon(seamsMax: number): void {
    const { machine, daemon } = this.#world;
    machine.deathAtSeam = this.#deathKind();
    daemon?.process.dieAfterSeams(this.#random.between(1, seamsMax));
  }

  #killAtDisk(operations: readonly SimOperationKind[]): void {
    const { machine, diskTrouble } = this.#world;
    machine.deathAtSeam = this.#deathKind();
    diskTrouble.killAt = this.#random.pick(operations);
  }

  #deathKind(): CrashKind {
    return this.#random.chance(this.#world.plan.faults.powerShare) ? 'power' : 'process';
  }

  /** Told to stop; now and then it dies before it has. */
  #stop(): void {
    const isKilled = this.#world.plan.faults.kill !== Infinity && this.#random.chance(0.6);
    if (this.#operator.stopAndStart('stop') && isKilled) this.#killSoon(STOP_SEAMS_MAX);
  }

  #sourceDown(): void {
    const server = this.#random.pick([...this.#world.servers.values()]);
    server.reachable = false;
    server.cutReader('the server went down');
    this.#for(this.#random.real(100, 3_000), `${server.name} down`, () => (server.reachable = true));
  }

  #networkTrouble(): void {
    const { weather } = this.#random.pick([...this.#world.servers.values(), ...this.#world.targets.values()]);
    Object.assign(weather, { delayMs: this.#random.pick([1, 20, 100]), cutChance: this.#random.pick([0, 0.01, 0.1]) });
    this.#for(this.#random.real(100, 2_000), 'network trouble', () => Object.assign(weather, { delayMs: 1, cutChance: 0 }));
  }

  #targetTrouble(): void {
    const target = this.#random.pick([...this.#world.targets.values()]);
    const some = (): number => (this.#random.chance(0.5) ? this.#random.pick([0.1, 0.5]) : 0);
    Object.assign(target.trouble, { reject: some(), lostAnswer: some(), torn: some(), items: some() / 2 });
    this.#for(this.#random.real(100, 3_000), `${target.name} trouble`, () => this.#mend(target));
  }

  #targetStall(): void {
    const target = this.#random.pick([...this.#world.targets.values()]);
    if (this.#random.chance(0.5)) target.stalled = true;
    else target.reachable = false;
    this.#for(this.#random.real(100, 5_000), `${target.name} stall`, () => this.#mend(target));
  }

  #mend(target: TargetServer): void {
    target.stalled = false;
    target.reachable = true;
    Object.assign(target.trouble, { reject: 0, lostAnswer: 0, torn: 0, items: 0 });
    Object.assign(target.weather, { delayMs: 1, cutChance: 0 });
    target.changed.notify();
  }

  #targetCrash(): void {
    const target = this.#random.pick([...this.#world.targets.values()]);
    this.#world.executor.note(`${target.name} crashes`);
    target.crashes += 1;
    target.storage.crash();
    this.#world.versions.wentBack();
    for (const index of this.#world.indices) if (index.target === target.name) this.#operator.cursorsWentBack(index);
  }

  #forgetDeletes(): void {
    const target = this.#random.pick([...this.#world.targets.values()]);
    if (target.storage.atomicCursor || target.zombies > 0) return;
    target.storage.forgetDeletes();
    this.#world.versions.forgotDeletes();
  }

  #diskFull(): void {
    const { disk } = this.#world.machine;
    disk.capacityBytes = disk.usedBytes + this.#random.between(0, 2_000);
    this.#for(this.#random.real(100, 5_000), 'disk full', () => (disk.capacityBytes = Infinity));
  }
}
