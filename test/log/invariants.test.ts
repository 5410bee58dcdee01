/**
 * The log's invariants under crashes and failures at every disk operation. The runs are made once; each invariant is a test of its own over all of
 * them. TAILRACE_LOG_RUNS multiplies the number of runs, TAILRACE_LOG_SEED moves them to other seeds.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { Audit, type InvariantNumber } from './log-model.ts';
import { Scenario, type Plan } from './scenario.ts';
import { seededRandom } from './seeded-random.ts';
import type { SimFault, SimOperation, SimOperationKind } from '../sim/sim-disk.ts';

const factor = Number(process.env['TAILRACE_LOG_RUNS'] ?? 1);
const firstSeed = Number(process.env['TAILRACE_LOG_SEED'] ?? 1);
const audit = new Audit();
let faults = 0;

async function run(plan: Plan, what: string): Promise<void> {
  audit.run = `seed ${plan.seed}, disk seed ${plan.diskSeed}, ${what}`;
  try {
    await new Scenario(plan, audit).run();
  } catch (error) {
    throw new Error(audit.run, { cause: error });
  }
}

/** Operations that leave nothing on the disk: a crash there is a crash at the next one that does. */
const harmless: ReadonlySet<SimOperationKind> = new Set(['open', 'read', 'size', 'list', 'close', 'freeBytes']);

/** The same life again and again, each time with a fault at another of its operations. */
async function faultAtEveryOperation(seed: number, fault: SimFault): Promise<void> {
  const plan = { seed, diskSeed: seed, lives: 1, stepsPerLife: 40 };
  const places: number[] = [];
  const note = ({ index, kind }: SimOperation): undefined => {
    if (!harmless.has(kind)) places.push(index);
  };
  await run({ ...plan, fault: note }, 'no fault');
  for (const at of places) {
    faults += 1;
    await run({ ...plan, diskSeed: seed * 1000 + at, fault: ({ index }) => (index === at ? fault : undefined) }, `${fault} at operation ${at}`);
  }
}

/** Several lives in which anything may happen at any time, recovery included. */
async function randomFaults(seed: number): Promise<void> {
  const random = seededRandom(seed);
  const kinds: readonly SimFault[] = ['power', 'process', 'EIO', 'ENOSPC'];
  const chance = random.pick([0.002, 0.01, 0.05]);
  const fault = (): SimFault | undefined => {
    if (random.fraction() >= chance) return undefined;
    faults += 1;
    return random.pick(kinds);
  };
  await run({ seed, diskSeed: seed, lives: 6, stepsPerLife: 40, fault }, 'random faults');
}

describe('the log, whatever happens to the process and the disk,', () => {
  beforeAll(async () => {
    for (let seed = firstSeed; seed < firstSeed + 5 * factor; seed += 1) {
      for (const fault of ['power', 'process', 'EIO', 'ENOSPC'] as const) await faultAtEveryOperation(seed, fault);
    }
    for (let seed = firstSeed; seed < firstSeed + 300 * factor; seed += 1) await randomFaults(1_000_000 + seed);
  }, 600_000 * factor);

  const invariants: readonly (readonly [InvariantNumber, string])[] = [
    [1, 'has every acknowledged frame'],
    [2, 'is a prefix of what was appended, byte for byte, cut at a frame'],
    [3, 'numbers changes without a gap, over frames, segments and restarts'],
    [4, 'never uses a seq again that anybody saw'],
    [5, 'shows readers durable frames only'],
    [8, 'has the registers that its frames add up to'],
    [11, 'keeps what is held, and tells who is evicted'],
    [14, 'hands each reader every frame once, in order'],
    [17, 'shows no damage to anybody where there is none but the traces of a crash'],
    [18, 'acknowledges nothing that a failing or full disk did not take, and goes on when it can'],
  ];
  for (const [number, sentence] of invariants) {
    test(`${number}: ${sentence}`, () => {
      expect(audit.broken.get(number)?.slice(0, 5) ?? []).toEqual([]);
      expect(audit.checks.get(number)).toBeGreaterThan(100);
    });
  }

  test('was tried at thousands of points, and in all the states that matter', () => {
    expect(faults).toBeGreaterThan(3000);
    const wanted = ['life crashed', 'life failed', 'life closed', 'condition full', 'condition disk_full', 'evicted', 'many segments', 'segments removed', 'unacknowledged frames lost', 'unacknowledged frames kept'];
    for (const what of wanted) expect(audit.reached.get(what) ?? 0, what).toBeGreaterThan(10);
  });
});
