/** One simulated world: databases and targets, a machine, the daemon's lives on it, and the auditors who watch all of it. */
import { Notifier } from '../../../src/runtime/abort.ts';
import { builds } from '../../../src/capture/snapshot-state.ts';
import { seqOf } from '../../../src/change/seq.ts';
import type { FrameDraft } from '../../../src/connector/log-store.ts';
import type { Batch, GenerationPlan } from '../../../src/connector/target.ts';
import { invariant } from '../../../src/errors/invariant.ts';
import { SWAP_DISTANCE_CHANGES } from '../../../src/pipeline/swap.ts';
import { standingFor } from '../../../src/pipeline/generations.ts';
import { generationName, type GenerationRecord } from '../../../src/state/state-store.ts';
import type { LogAuditors, TailFrames } from '../audit/audited-log.ts';
import { Coverage } from '../audit/coverage.ts';
import { Findings } from '../audit/findings.ts';
import { auditBatches, auditFrame } from '../audit/g12-buffers.ts';
import { LogPrefixAuditor } from '../audit/g01-log-prefix.ts';
import { auditConfirm } from '../audit/g02-confirm-after-durable.ts';
import { CursorAuditor } from '../audit/g03-cursor-after-effect.ts';
import { OrderAuditor } from '../audit/g05-order-on-the-way.ts';
import { RememberedAuditor } from '../audit/g06-remembered.ts';
import { VersionAuditor } from '../audit/g05-versions.ts';
import type { KeptDocuments } from '../audit/kept-documents.ts';
import { LogBook, type ObservedFrame } from '../audit/log-book.ts';
import { Executor } from '../kernel/executor.ts';
import { sourceNowMs } from '../kernel/sim-clock.ts';
import type { SimProcess } from '../kernel/sim-process.ts';
import { SimRandom } from '../kernel/sim-random.ts';
import { Trace } from '../kernel/trace.ts';
import { MemoryStorage } from '../memory-target.ts';
import { SimDatabase } from '../source/sim-database.ts';
import { SimServer } from '../source/sim-server.ts';
import { SimDisk, type CrashKind } from '../sim-disk.ts';
import { configOf, Daemon, DATA_DIRECTORY } from './daemon.ts';
import { noteDiskOperation, noteKill, noteLogLine } from './noticed.ts';
import type { IndexPlan, Plan } from './plan.ts';
import { SimMachine } from './sim-machine.ts';
import type { LogLine } from './sim-logger.ts';
import type { TargetServer } from './sim-target.ts';
import { slowDisk, type DiskTrouble } from './slow-disk.ts';
import { Workload } from './workload.ts';

export class World {
  readonly plan: Plan;
  readonly random: SimRandom;
  readonly trace: Trace;
  readonly executor: Executor;
  readonly findings: Findings;
  readonly coverage = new Coverage();
  readonly machine: SimMachine;
  readonly diskTrouble: DiskTrouble = { failNext: null, killAt: null, underWay: new Set() };
  readonly servers = new Map<string, SimServer>();
  readonly workloads = new Map<string, Workload>();
  readonly targets = new Map<string, TargetServer>();
  readonly book: LogBook;
  readonly prefixes = new Map<string, LogPrefixAuditor>();
  readonly memories = new Map<string, RememberedAuditor>();
  readonly cursors: CursorAuditor;
  readonly versions: VersionAuditor;
  readonly orders: OrderAuditor;
  readonly tail: TailFrames = { frames: [] };
  /** Indices that were added to the config later are in it. */
  withLate = false;
  /** Size limit of the log in the config. */
  logBytesMax: number;
  daemon: Daemon | null = null;
  onLogLine: (line: LogLine) => void = () => {};
  onAppending: (frame: FrameDraft) => void = () => {};
  /** What is written to the log now is written with them in the config. */
  #writesLate = false;
  #lives = 0;
  /** Indices whose readers see one. */
  readonly #seen = new Set<string>();
  /** Cursors that were durable as the present daemon began, by generation. */
  #cursorsAtStart = new Map<string, number>();

  constructor(seed: number, plan: Plan, random: SimRandom, keepTrace: boolean) {
    this.plan = plan;
    this.logBytesMax = plan.log.maxBytes;
    this.random = random;
    this.trace = new Trace({ keepAll: keepTrace });
    this.executor = new Executor(random.fork('executor'), this.trace);
    this.executor.note(`seed ${seed}`);
    this.findings = new Findings((text) => this.executor.note(text));
    this.book = new LogBook(this.findings);
    this.cursors = new CursorAuditor(this.findings, this.book);
    this.versions = new VersionAuditor(this.findings);
    this.orders = new OrderAuditor(this.findings);
    const disk = new SimDisk({ random: random.fork('disk') });
    // The data directory is there before the daemon, as a mounted volume is.
    disk.place(`${DATA_DIRECTORY}/.volume`, Buffer.alloc(0));
    this.machine = new SimMachine(disk);
    slowDisk(disk, this.executor, random.fork('disk times'), this.diskTrouble, {
      operation: (operation) => noteDiskOperation(operation, this.coverage),
      killed: () => this.machine.crash(this.machine.deathAtSeam, 'killed at the disk'),
      failed: (kind) => this.coverage.saw(`the disk failed a ${kind}`),
    });
    this.machine.onCrash = (kind) => this.#crashing(kind);
    this.machine.stateListener = { cursorStored: (index, generation, seq) => this.#cursorStored(index, generation, seq), generationsStored: () => {} };
    for (const source of plan.sources) this.#addSource(source.name);
    for (const target of plan.targets) this.#addTarget(target.name);
    auditBatches(this.findings);
    this.executor.afterEach(() => {
      this.daemon?.log?.settle();
      this.#auditReaders();
    });
  }

  get indices(): readonly IndexPlan[] {
    return this.plan.indices.filter(({ late }) => this.withLate || !late);
  }

  /** The daemon's number so far. */
  get lives(): number {
    return this.#lives;
  }

  index(name: string): IndexPlan {
    const index = this.plan.indices.find((planned) => planned.name === name);
    invariant(index !== undefined, `the plan has an index ${name}`);
    return index;
  }

  /** The generation that stands for the index. */
  record(index: string): GenerationRecord | undefined {
    return standingFor(this.records(index), (record) => record);
  }

  /** All of its generations, in the order of their numbers. */
  records(index: string): GenerationRecord[] {
    return [...this.machine.state(`${DATA_DIRECTORY}/state.db`).generations.values()].filter((record) => record.index === index).toSorted((a, b) => a.generation - b.generation);
  }

  recordOf(index: string, generation: number): GenerationRecord | undefined {
    return this.records(index).find((record) => record.generation === generation);
  }

  kept(index: IndexPlan, generation: number): KeptDocuments {
    return this.storage(index).index(index.name).generations.get(generation)?.documents ?? new Map();
  }

  storage(index: IndexPlan): MemoryStorage {
    const server = this.targets.get(index.target);
    invariant(server !== undefined, `the plan has a target ${index.target}`);
    return server.storage;
  }

  /** Ids of parked documents of a generation. */
  letters({ index, generation }: GenerationRecord): Set<string> {
    const letters = this.machine.state(`${DATA_DIRECTORY}/state.db`).letters.values();
    return new Set([...letters].filter((letter) => letter.index === index && letter.generation === generation).map(({ id }) => id));
  }

  /** The epoch of the log: there is one log in a run. */
  get epoch(): number {
    return 1;
  }

  /** `unaudited`: its log is not the one that the auditors know. */
  makeDaemon(machine: SimMachine = this.machine, { unaudited = false } = {}): Daemon {
    this.#lives += 1;
    const name = `d${this.#lives}`;
    return new Daemon({
      name,
      executor: this.executor,
      random: this.random.fork(name),
      machine,
      config: configOf(this.plan, this.withLate, this.logBytesMax),
      servers: this.servers,
      targets: this.targets,
      memories: unaudited ? new Map() : this.memories,
      auditors: unaudited ? null : this.#logAuditors(),
      tail: this.tail,
      targetListener: {
        sent: (plan, batch, process) => this.orders.sent(senderOf(plan, process), batch),
        ended: (plan, batch, process) => this.orders.ended(senderOf(plan, process), batch),
        sweeping: (plan, process) => this.orders.sweeping(senderOf(plan, process)),
        arriving: (server, plan, batch, process) => this.#arriving(server, plan, batch, process),
        took: (server, plan, batch) => this.#took(server, plan, batch),
        swept: (server, plan) => this.#cleared(server, plan),
        promoted: (plan) => this.#promoted(plan),
        happened: (what) => this.coverage.saw(what),
      },
      onLogLine: (line) => this.#logLine(line),
    });
  }

  /** Begins the daemon's next life. */
  startDaemon(rebuild: readonly string[] = []): Daemon {
    this.#cursorsAtStart = new Map();
    for (const index of this.plan.indices) {
      for (const record of this.records(index.name)) {
        const cursor = this.durableCursor(index, record);
        if (cursor !== null) this.#cursorsAtStart.set(`${record.index} ${record.generation}`, cursor);
      }
    }
    const daemon = this.makeDaemon();
    this.daemon = daemon;
    this.executor.note(`${daemon.process.name} starts${rebuild.length === 0 ? '' : ` with --rebuild ${rebuild.join(' ')}`}`);
    daemon.process.onDeath(() => this.#died(daemon));
    daemon.start(rebuild);
    return daemon;
  }

  durableCursor(index: IndexPlan, { generation }: Pick<GenerationRecord, 'generation'>): number | null {
    const storage = this.storage(index);
    if (storage.atomicCursor) return storage.index(index.name).generations.get(generation)?.cursor ?? null;
    return this.machine.state(`${DATA_DIRECTORY}/state.db`).cursors.get(`${index.name} ${generation}`) ?? null;
  }

  #addSource(name: string): void {
    const source = this.plan.sources.find((planned) => planned.name === name);
    invariant(source !== undefined, `the plan has a source ${name}`);
    const database = new SimDatabase(`system-of-${name}`, () => sourceNowMs(this.executor.nowMs));
    const workload = new Workload(database, this.plan.workload, this.random.fork(`workload ${name}`));
    for (const table of source.tables) workload.createTable(table);
    const server = new SimServer(name, database, source.flavor);
    const tables = (): ReadonlySet<string> => new Set(this.plan.indices.filter((index) => index.source === name && (this.#writesLate || !index.late)).map(({ table }) => table));
    const prefix = new LogPrefixAuditor(server, tables, this.findings, this.coverage);
    server.listener = { confirmed: (place) => auditConfirm(this.findings, name, place, prefix.position), happened: (what) => this.coverage.saw(what) };
    this.servers.set(name, server);
    this.workloads.set(name, workload);
    this.prefixes.set(name, prefix);
    this.memories.set(name, new RememberedAuditor(name, this.findings, this.coverage));
  }

  #addTarget(name: string): void {
    const target = this.plan.targets.find((planned) => planned.name === name);
    invariant(target !== undefined, `the plan has a target ${name}`);
    this.targets.set(name, {
      name,
      storage: new MemoryStorage({ atomicCursor: target.atomicCursor }),
      weather: { delayMs: 1, cutChance: 0 },
      reachable: true,
      stalled: false,
      changed: new Notifier(),
      trouble: { reject: 0, lostAnswer: 0, torn: 0, items: 0 },
      crashes: 0,
      zombies: target.zombies,
    });
  }

  /** A target's cursor went back while the daemon runs. */
  forgetCursorAtStart(index: string, generation: number): void {
    this.#cursorsAtStart.delete(`${index} ${generation}`);
  }

  #logAuditors(): LogAuditors {
    const { book, findings, coverage, withLate } = this;
    return { book, findings, coverage, observe: (frame) => this.#observe(frame), appending: (frame) => this.#appending(frame), recovered: () => (this.#writesLate = withLate), verifiesAll: this.plan.faults.bitFlip === Infinity };
  }

  #appending(frame: FrameDraft): void {
    auditFrame(this.findings, frame);
    this.onAppending(frame);
  }

  #observe(frame: ObservedFrame): void {
    this.prefixes.get(frame.source)?.observe(frame);
    for (const [name, value] of frame.registers) if (value === null) this.#forgotten(name);
  }

  /** A snapshot that is forgotten is one that every index has acted upon. */
  #forgotten(register: string): void {
    const [kind, source, number] = register.split(':');
    const snapshot = kind === 'snapshot' ? this.book.snapshots.get(`${source} ${number}`) : undefined;
    for (const record of this.plan.indices.flatMap(({ name }) => this.records(name))) {
      if (record.phase !== 'building' || snapshot === undefined) continue;
      const own = generationName(record.index, record.generation);
      // The log gave the index up: it will be built from another snapshot.
      if (this.daemon?.pipeline?.log.stats().holds.every((hold) => hold.name !== own) === true) continue;
      this.findings.expect('G7', !builds(snapshot, own), () => `snapshot ${snapshot.number} of ${snapshot.source} is forgotten, and ${own} is still being built from it`);
    }
  }

  #cursorStored(name: string, generation: number, seq: number): void {
    const record = this.recordOf(name, generation);
    if (record === undefined) return;
    const index = this.index(name);
    this.cursors.cursorStored(record, index, seq, this.kept(index, generation), this.epoch, this.letters(record));
  }

  /** G6: what the durable cursor said to be done is not done again by the process that started from it. */
  #arriving(server: TargetServer, plan: GenerationPlan, batch: Batch, process: SimProcess): void {
    if (process !== this.daemon?.process) {
      this.coverage.saw('a request arrived whose process was dead');
      return;
    }
    const cursor = this.#cursorsAtStart.get(`${plan.index} ${plan.generation}`);
    // What stands in the place of a refused document is taken out as of the seq just before it.
    const first = batch.operations.reduce((least, { kind, version }) => Math.min(least, seqOf(version) + (kind === 'delete' ? 1 : 0)), Infinity);
    this.findings.expect('G6', cursor === undefined || first > cursor, () => `${plan.index} ${plan.generation} began behind ${cursor}, and sends seq ${first} to ${server.name}`);
    if (batch.clearBelow !== undefined) this.coverage.saw('a truncate reached a target');
    if (server.storage.atomicCursor) this.#auditLetters(plan, batch);
  }

  /** G11: when such a target answers its cursor has moved, and what was missed by then is never looked at again. */
  #auditLetters({ index, generation }: GenerationPlan, { operations }: Batch): void {
    const letters = [...this.machine.state(`${DATA_DIRECTORY}/state.db`).letters.values()].filter((letter) => letter.index === index && letter.generation === generation);
    if (letters.length === 0) return;
    const parked = new Map(letters.map(({ id, seq }) => [id, seq]));
    for (const { id, version } of operations) {
      const seq = parked.get(id) ?? Infinity;
      this.findings.expect('G11', seq >= seqOf(version), () => `${index} ${generation}: ${id} is sent with seq ${seqOf(version)} and the cursor behind it, and is still parked with seq ${seq}`);
    }
  }

  #took(server: TargetServer, plan: GenerationPlan, batch: Batch): void {
    const index = this.index(plan.index);
    const kept = this.kept(index, plan.generation);
    if (batch.clearBelow !== undefined) this.#cleared(server, plan);
    this.versions.took(`${plan.index} ${plan.generation}`, batch, kept);
    const record = this.recordOf(plan.index, plan.generation);
    if (!server.storage.atomicCursor || record === undefined) return;
    const cursor = server.storage.index(plan.index).generations.get(plan.generation)?.cursor ?? null;
    if (cursor !== null) this.cursors.cursorStored(record, index, cursor, kept, this.epoch, this.letters(record));
  }

  /** Readers are about to see the generation: it must have everything that its snapshot read. */
  #promoted({ index: name, generation }: GenerationPlan): void {
    const record = this.recordOf(name, generation);
    if (record === undefined) return this.findings.add('G9', `generation ${generation} of ${name} is promoted, and nobody knows it`);
    const index = this.index(name);
    this.#auditSwap(record);
    this.cursors.promoted(record, index, this.kept(index, generation), this.epoch, this.letters(record));
  }

  /** Readers never go back in time by more than a swap's distance, whichever generation they get. */
  #auditSwap({ index, generation, retiredAtMs, phase }: GenerationRecord): void {
    const generations = this.daemon?.status?.indices.find(({ name }) => name === index)?.generations ?? [];
    const cursorOf = (wanted: (one: (typeof generations)[number]) => boolean): number | null => generations.find(wanted)?.cursor ?? null;
    const cursor = cursorOf((one) => one.generation === generation);
    const before = cursorOf((one) => one.phase === 'serving' && one.generation !== generation && one.condition !== 'idle');
    if (before === null || phase !== 'ready') return;
    this.coverage.saw(retiredAtMs === null ? 'a generation took the place of another' : 'an index went back to an older generation');
    this.findings.expect('G4', cursor !== null && (cursor >= before || cursor >= this.book.lastSeq - SWAP_DISTANCE_CHANGES), () => `${index} ${generation} is promoted at ${cursor}, while readers see an index at ${before}`);
  }

  /** Of every index: once its readers see a generation, they see one at every moment. */
  #auditReaders(): void {
    for (const index of this.plan.indices) {
      const kept = this.storage(index).index(index.name);
      if (kept.promoted !== null) this.#seen.add(index.name);
      if (this.#seen.has(index.name) && (kept.promoted === null || !kept.generations.has(kept.promoted))) this.findings.add('G4', `readers of ${index.name} see no generation`);
    }
  }

  #cleared(server: TargetServer, plan: GenerationPlan): void {
    if (!server.storage.atomicCursor) this.versions.cleared(`${plan.index} ${plan.generation}`, this.kept(this.index(plan.index), plan.generation));
  }

  /** The machine's processes are about to die, and what they had under way on the disk is cut short. */
  #crashing(kind: CrashKind): void {
    const { underWay } = this.diskTrouble;
    if (kind === 'power') this.coverage.saw('killed by a loss of power');
    for (const operation of underWay) this.coverage.saw(`killed in the middle of a ${operation.kind}`);
    underWay.clear();
    for (const prefix of this.prefixes.values()) if (prefix.isWithinTransaction) this.coverage.saw('killed while a transaction was logged in part');
  }

  #logLine(line: LogLine): void {
    noteLogLine(line, this.coverage);
    this.onLogLine(line);
  }

  #died(daemon: Daemon): void {
    if (daemon.ended === null) noteKill(daemon.status, daemon.stopping, this.coverage);
    else this.coverage.saw(daemon.ended.error === null ? 'a daemon was stopped' : 'a daemon ended with an error');
    // Its connections are noticed to be dead only after a while.
    const noticedMs = daemon.ended === null ? this.random.fork(`notice ${this.#lives}`).real(1, 1_500) : 1;
    for (const server of this.servers.values()) this.executor.after(noticedMs, `${server.name} notices`, () => server.detachProcess(daemon.process));
  }
}

/** A generation as one process has it open. */
function senderOf({ index, generation }: GenerationPlan, process: SimProcess): string {
  return `${process.name} ${index} ${generation}`;
}
