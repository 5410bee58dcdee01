/** Generations of indices for people. */
import type { GenerationStatus } from '../../src/pipeline/status.ts';
import { table, type Colour, type Paint } from '../terminal/table.ts';
import { count, duration } from '../terminal/units.ts';
import { errorBelow } from './phase.ts';

const colours: Readonly<Record<GenerationStatus['phase'], Colour>> = { building: 'cyan', ready: 'cyan', serving: 'green', retired: 'yellow', dropping: 'yellow' };

const reasons: Readonly<Record<GenerationStatus['reason'], string>> = { new: 'new index', config: 'changed config', mapping: 'changed mapping', resync: 'resync', rebuild: 'rebuild' };

export function generationScreen(generations: readonly GenerationStatus[], nowMs: number, paint: Paint): string[] {
  const right = 'right' as const;
  const columns = [{ title: 'index' }, { title: 'generation', align: right }, { title: 'phase' }, { title: 'fed' }, { title: 'behind', align: right }, { title: 'begun for' }, { title: 'dropped in' }];
  const rows = generations.map((one) => [
    one.index,
    String(one.generation),
    paint(colours[one.phase], one.held && one.phase === 'ready' ? 'ready, held' : one.phase),
    one.condition ?? '-',
    one.lag_changes === null ? '?' : count(one.lag_changes),
    reasons[one.reason],
    one.drop_ms === null ? '-' : duration(Math.max(0, one.drop_ms - nowMs) / 1000),
  ]);
  return [...table(columns, rows, paint), ...generations.flatMap(({ index, generation, error }) => errorBelow(`${index} ${generation}`, error, paint))];
}
