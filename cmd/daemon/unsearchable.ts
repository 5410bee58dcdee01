/** Why a search that found nothing could find nothing: the index is not in its target. That is another answer than that nothing matches. */
import type { TailraceConfig } from '../../src/config/definition.ts';
import type { IndexDefinition } from '../../src/config/index-settings.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import type { IndexReport, StatusReport } from '../../src/observe/status-report.ts';
import type { StatusError } from '../../src/pipeline/status.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import type { Reading } from './reading.ts';
import { openTarget } from './target-standings.ts';

/** Throws NOT_BUILT, saying what is in the way, when the target has no build of the index that can be searched. */
export async function refuseUnsearchable(config: TailraceConfig, { name, to, from }: IndexDefinition, reading: Reading): Promise<void> {
  await using target = await openTarget(config, to, nodeRuntime(silentLogger));
  const builds = await target.generations(new AbortController().signal);
  if (builds.some(({ index, promoted }) => index === name && promoted)) return;
  const status = await reading.status();
  const index = status.indices.find((candidate) => candidate.name === name);
  const source = status.sources.find((candidate) => candidate.name === from.source);
  const trouble = index?.error ?? source?.error ?? null;
  if (wasBuilt(index)) throw notFound(name, to, builds.some((build) => build.index === name), index?.error ?? null);
  throw new TailraceError('NOT_BUILT', { message: `Index ${name} is not built yet: ${reason(status, trouble === null ? null : trouble.message.replace(/\.$/, ''), from.source)}.`, hint: trouble?.hint, entity: name });
}

function wasBuilt(index: IndexReport | undefined): boolean {
  return index?.generations.some(({ phase }) => phase === 'serving') === true;
}

/** `isHeld`: the target has generations of it, and none has its name. */
function notFound(name: string, target: string, isHeld: boolean, error: StatusError | null): TailraceError {
  const gone = { message: `Index ${name} was built, but is not in its target ${target} any more.`, hint: `Put back what the target kept, or build the index again: \`tailrace resync ${name}\`.` };
  const unnamed = { message: `Index ${name} is in its target ${target}, but its name was taken from it there.`, hint: 'A daemon that runs gives it back within 10 s. If it does not: `tailrace check` says what is in the way.' };
  const said = error === null ? unnamed : { message: `Index ${name} was built, and is not found now. ${error.message}`, hint: error.hint };
  return new TailraceError('NOT_BUILT', { ...(isHeld ? said : gone), entity: name });
}

function reason({ running }: StatusReport, trouble: string | null, source: string): string {
  if (trouble !== null) return trouble;
  return running ? `the first snapshot of ${source} is on its way` : 'tailrace is not running';
}
