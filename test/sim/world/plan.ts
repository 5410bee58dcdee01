/**
 * What one run is about. Every seed switches some features and faults on and leaves others out: runs in which everything happens at once
 * hide what a few things do together.
 */
import type { SimRandom } from '../kernel/sim-random.ts';
import type { SourceFlavor } from '../source/sim-server.ts';

export interface SourcePlan {
  readonly name: string;
  readonly flavor: SourceFlavor;
  /** Full names, `schema.table`. */
  readonly tables: readonly string[];
}

/** Rows of an index of the shape `where` have at least this number. */
export const NUMBER_FROM = 20;

/** How documents of an index are made. Each has its own rendering among the auditors. */
export type IndexShape = 'all' | 'listed' | 'where' | 'renamed';

export interface IndexPlan {
  readonly name: string;
  readonly source: string;
  readonly table: string;
  readonly target: string;
  readonly shape: IndexShape;
  readonly onError: 'dead_letter' | 'stop';
  readonly batch: { readonly max_operations: number; readonly max_bytes: number; readonly max_in_flight: number };
  /** The index is in the config only from the second start on. */
  readonly late: boolean;
}

export interface TargetPlan {
  readonly name: string;
  readonly atomicCursor: boolean;
  /** Chance that a request goes on when the process that sent it dies. */
  readonly zombies: number;
}

/** Mean pause between two of a kind in virtual milliseconds; Infinity for never. */
export interface FaultPlan {
  readonly kill: number;
  /** Chance that a kill is a loss of power. */
  readonly powerShare: number;
  /** Chance that a kill comes after a number of seams instead of at an event. */
  readonly seamShare: number;
  readonly stop: number;
  readonly sourceCut: number;
  readonly sourceDown: number;
  readonly networkTrouble: number;
  readonly targetTrouble: number;
  readonly targetStall: number;
  readonly targetCrash: number;
  readonly forgetDeletes: number;
  readonly diskFull: number;
  readonly diskFails: number;
  readonly secondDaemon: number;
  readonly stateRestored: number;
  readonly targetRestored: number;
  readonly bitFlip: number;
  readonly historyLost: number;
  readonly clockJump: number;
  /** Somebody builds an index again, gives that up, goes back, or drops a generation. */
  readonly generations: number;
  /** Somebody has a part of a table read again, or steers a snapshot, or reads rows as of a seq. */
  readonly selections: number;
  /** Somebody has an index compared with its table. */
  readonly verifications: number;
}

export type FaultKind = Exclude<keyof FaultPlan, 'powerShare' | 'seamShare'>;

export interface WorkloadPlan {
  /** Mean pause between transactions. */
  readonly pauseMs: number;
  /** Chance that a pause is a long one. */
  readonly idleShare: number;
  readonly keys: number;
  readonly startRows: number;
  readonly bodyBytes: number;
  readonly hideShare: number;
  readonly hideMs: number;
  readonly toasted: boolean;
  /** Weights of what a transaction does. */
  readonly kinds: Readonly<Record<TransactionKind, number>>;
  readonly poison: number;
}

export type TransactionKind = 'small' | 'medium' | 'huge' | 'hammer' | 'keyChange' | 'swap' | 'reinsert' | 'empty' | 'noise' | 'truncate' | 'addColumn' | 'addColumnWithDefault' | 'silent' | 'rewrite';

export interface LogPlan {
  readonly segmentBytes: number;
  readonly maxBytes: number;
  readonly minAgeHours: number;
  readonly onFull: 'block' | 'evict';
}

export interface Plan {
  readonly chaosMs: number;
  readonly sources: readonly SourcePlan[];
  readonly targets: readonly TargetPlan[];
  readonly indices: readonly IndexPlan[];
  readonly log: LogPlan;
  readonly bufferedBytes: number;
  readonly snapshot: { readonly parallel: number; readonly chunkBytes: number };
  readonly workload: WorkloadPlan;
  readonly faults: FaultPlan;
  /** Of every index. */
  readonly rollbackHours: number;
}

const SHAPES: readonly IndexShape[] = ['all', 'listed', 'where', 'renamed'];

export function planOf(random: SimRandom): Plan {
  const sources = sourcesOf(random.fork('sources'));
  const chaosMs = random.between(2_000, 12_000);
  const workload = workloadOf(random.fork('workload'), chaosMs);
  const faults = faultsOf(random.fork('faults'));
  const targets = targetsOf(random.fork('targets'), workload, faults);
  // A late request brings back what the target was told to forget: it is told when the log is cut.
  const cutLog = targets.every(({ zombies }) => zombies === 0);
  return {
    chaosMs,
    sources,
    targets,
    indices: indicesOf(random.fork('indices'), sources, targets),
    log: logOf(random.fork('log'), cutLog),
    bufferedBytes: random.pick([2_000, 20_000, 200_000]),
    snapshot: { parallel: random.between(1, 3), chunkBytes: random.pick([200, 1_500, 20_000]) },
    workload,
    faults,
    // For the whole run, for no time, or for two seconds.
    rollbackHours: random.fork('rollback').pick([24, 24, 0, 0.000_5]),
  };
}

function logOf(random: SimRandom, cutLog: boolean): LogPlan {
  const isBounded = cutLog && random.chance(0.4);
  return {
    // Each segment begins with all registers: in a log of a few of the smallest there would be room for little else. And a full log may move
    // only once a second, when indices that have nothing to do store their cursors.
    segmentBytes: random.pick(isBounded ? [15_000, 40_000] : [4_000, 15_000, 60_000, 200_000]),
    maxBytes: isBounded ? random.pick([250_000, 600_000]) : 1_000_000_000,
    minAgeHours: !cutLog ? 1 : random.chance(0.2) ? random.real(0, 0.01) : 0,
    onFull: random.chance(0.3) ? 'evict' : 'block',
  };
}

function sourcesOf(random: SimRandom): SourcePlan[] {
  const count = random.chance(0.3) ? 2 : 1;
  return Array.from({ length: count }, (_, i) => ({
    name: `s${i}`,
    flavor: {
      ranges: random.pick(['places', 'keys'] as const),
      position: random.pick(['record', 'end'] as const),
      pieceMessagesMax: random.pick([1, 5, 40]),
      heartbeatEveryMs: random.pick([100, 1_000]),
    },
    tables: Array.from({ length: random.between(1, 3) }, (__, t) => `public.t${t}`),
  }));
}

function targetsOf(random: SimRandom, { kinds }: WorkloadPlan, faults: FaultPlan): TargetPlan[] {
  return Array.from({ length: random.between(1, 2) }, (_, i) => {
    const atomicCursor = random.chance(0.5);
    // What empties an index leaves no trace in a target without a floor: a late request would bring documents back.
    // Nor does one that is restored from a backup.
    const survivable = atomicCursor ? faults.targetRestored === Infinity : kinds.truncate === 0 && kinds.silent === 0;
    return { name: `m${i}`, atomicCursor, zombies: survivable && random.chance(0.4) ? 0.3 : 0 };
  });
}

function indicesOf(random: SimRandom, sources: readonly SourcePlan[], targets: readonly TargetPlan[]): IndexPlan[] {
  const indices: IndexPlan[] = [];
  for (const source of sources) {
    for (const table of source.tables) {
      for (let n = random.chance(0.25) ? 2 : 1; n > 0; n -= 1) {
        indices.push({
          name: `i${indices.length}`,
          source: source.name,
          table,
          target: random.pick(targets).name,
          shape: random.pick(SHAPES),
          onError: 'dead_letter',
          batch: { max_operations: random.pick([1, 5, 100]), max_bytes: random.pick([300, 5_000, 1_000_000]), max_in_flight: random.between(1, 4) },
          late: indices.length > 0 && random.chance(0.15),
        });
      }
    }
  }
  return indices;
}

function workloadOf(random: SimRandom, chaosMs: number): WorkloadPlan {
  const sometimes = (weight: number): number => (random.chance(0.5) ? weight : 0);
  return {
    pauseMs: chaosMs / random.pick([60, 200, 500]),
    idleShare: random.pick([0, 0.02]),
    keys: random.pick([8, 40, 150]),
    startRows: random.pick([0, 5, 60]),
    bodyBytes: random.pick([20, 300, 2_000]),
    hideShare: random.pick([0, 0.1, 0.4]),
    hideMs: random.pick([10, 200, 1_500]),
    toasted: random.chance(0.6),
    kinds: {
      small: 10,
      medium: 2,
      huge: sometimes(0.4),
      hammer: sometimes(1),
      keyChange: sometimes(2),
      swap: sometimes(1),
      reinsert: sometimes(1),
      empty: sometimes(1),
      noise: sometimes(2),
      truncate: sometimes(0.3),
      addColumn: sometimes(0.2),
      addColumnWithDefault: sometimes(0.2),
      silent: sometimes(0.3),
      rewrite: sometimes(0.5),
    },
    poison: random.pick([0, 0, 0.03]),
  };
}

function faultsOf(random: SimRandom): FaultPlan {
  const sometimes = (probability: number, ...pauses: number[]): number => (random.chance(probability) ? random.pick(pauses) : Infinity);
  return {
    kill: sometimes(0.75, 400, 1_500, 5_000),
    powerShare: random.pick([0, 0.5, 1]),
    seamShare: random.pick([0, 0.5, 1]),
    stop: sometimes(0.3, 3_000, 8_000),
    sourceCut: sometimes(0.5, 300, 1_500, 6_000),
    sourceDown: sometimes(0.2, 6_000),
    networkTrouble: sometimes(0.3, 3_000),
    targetTrouble: sometimes(0.5, 1_000, 4_000),
    targetStall: sometimes(0.3, 4_000),
    targetCrash: sometimes(0.25, 2_000, 6_000),
    forgetDeletes: sometimes(0.3, 500, 3_000),
    diskFull: sometimes(0.2, 5_000),
    diskFails: sometimes(0.2, 5_000),
    secondDaemon: sometimes(0.2, 3_000),
    stateRestored: sometimes(0.15, 6_000),
    targetRestored: sometimes(0.15, 6_000),
    bitFlip: sometimes(0.1, 8_000),
    historyLost: sometimes(0.08, 8_000),
    clockJump: sometimes(0.2, 3_000),
    generations: sometimes(0.5, 400, 1_500, 4_000),
    selections: sometimes(0.5, 200, 1_000),
    verifications: sometimes(0.5, 300, 1_500),
  };
}
