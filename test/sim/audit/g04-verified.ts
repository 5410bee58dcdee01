/** G4, as the engine itself sees it: a comparison finds nothing when nobody has been at an index, and all that somebody has done to it. */
import { documentIdOf } from '../../../src/change/key.ts';
import { versionOf } from '../../../src/change/seq.ts';
import type { VerifyReport } from '../../../src/pipeline/verify-status.ts';
import type { Difference, DifferenceKind } from '../../../src/verify/difference.ts';
import type { SimRandom } from '../kernel/sim-random.ts';
import type { Kept } from '../memory-storage.ts';
import { keyOf } from '../source/sim-row.ts';
import type { IndexPlan } from '../world/plan.ts';
import type { World } from '../world/world.ts';

/** Most documents of one index that are damaged. */
const DAMAGED_MAX = 12;

export interface Damaged {
  readonly index: IndexPlan;
  /** By document id. */
  readonly expected: ReadonlyMap<string, ReadonlySet<DifferenceKind>>;
}

/** Does something to some documents of every index that is served. Nothing else goes on meanwhile. */
export function damageIndices(world: World, random: SimRandom): Damaged[] {
  return world.indices.flatMap((index): Damaged[] => {
    const record = world.record(index.name);
    const documents = record === undefined ? undefined : world.storage(index).index(index.name).generations.get(record.generation)?.documents;
    if (documents === undefined || record?.phase !== 'serving') return [];
    const expected = new Map<string, ReadonlySet<DifferenceKind>>();
    const live = [...documents].filter(([, { document }]) => document !== null).map(([id]) => id);
    for (let n = random.between(1, DAMAGED_MAX); n > 0 && live.length > 0; n -= 1) {
      const [id = ''] = live.splice(random.between(0, live.length - 1), 1);
      expected.set(id, damage(world, documents, id, random));
    }
    if (random.chance(0.7)) expected.set(extra(world, documents, random), new Set(['extra']));
    world.executor.note(`somebody has been at ${index.name}: ${[...expected].map(([id, kinds]) => `${id} ${[...kinds].join('|')}`).join(', ')}`);
    return expected.size === 0 ? [] : [{ index, expected }];
  });
}

function damage({ epoch, book }: World, documents: Map<string, Kept>, id: string, random: SimRandom): ReadonlySet<DifferenceKind> {
  const held = documents.get(id) as Kept;
  const put = (change: Partial<Kept>): void => void documents.set(id, { ...held, ...change });
  const how = random.pick(['missing', 'altered', 'older', 'future', 'epoch', 'unreadable', 'empty'] as const);
  if (how === 'missing') documents.delete(id);
  if (how === 'altered') put({ document: JSON.stringify({ ...(JSON.parse(held.document ?? '{}') as object), uninvited: true }) });
  if (how === 'older') put({ version: versionOf(epoch, 0) + 1n > held.version - 1n ? 1n : held.version - 1n, document: '{"id":"older"}' });
  if (how === 'future') put({ version: versionOf(epoch, book.lastSeq + 1_000_000) });
  if (how === 'epoch') put({ version: versionOf(epoch + 1, random.between(1, 1_000)) });
  if (how === 'unreadable') put({ document: '[1' });
  if (how === 'empty') put({ document: '{}' });
  if (how === 'missing') return new Set(['missing']);
  if (how === 'future' || how === 'epoch') return new Set(['wrong_version']);
  if (how === 'unreadable') return new Set(['unreadable']);
  // Whether the log reaches back to the change that it is of, and what was before that in it, is of no interest here.
  return new Set(['altered', 'stale', 'wrong_version']);
}

function extra(world: World, documents: Map<string, Kept>, random: SimRandom): string {
  const id = random.pick([documentIdOf(keyOf('nobody')), 'no key %zz', 'two:parts']);
  documents.set(id, { version: versionOf(world.epoch, random.between(1, Math.max(1, world.book.lastSeq))), document: '{"id":"nobody"}' });
  return id;
}

export function auditVerified({ findings }: World, { index, expected }: Damaged, { report, found }: { readonly report: VerifyReport; readonly found: readonly Difference[] }): void {
  for (const { id, kind } of found) {
    const kinds = expected.get(id);
    findings.expect('G4', kinds?.has(kind) === true, () => `${index.name}: ${id} is found to be ${kind}, and ${kinds === undefined ? 'nobody has been at it' : `it is ${[...kinds].join(' or ')}`}`);
  }
  for (const id of expected.keys()) findings.expect('G4', found.some((one) => one.id === id), () => `${index.name}: what was done to ${id} is not found`);
  findings.expect('G4', report.equal, () => `${index.name}: not all that differs was repaired: ${JSON.stringify(report)}`);
}
