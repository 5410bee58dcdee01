/**
 * The simulator's build of the engine, made as modules are loaded: the two modules of `src/state` that open SQLite files are replaced by
 * doubles, the log is handed to the auditors as it opens, and source texts are patched: limits are made small, so that a run meets them, and
 * defects are put in, to see whether a run finds them. To be loaded with `node --import`.
 *
 * TAILRACE_SIM_PATCHES names the sets of patches, separated by commas: `limits`, or the name of a mutation.
 */
import { registerHooks } from 'node:module';
import process from 'node:process';
import { limits } from './limits.ts';
import { mutations } from '../mutations/mutations.ts';
import { patched, type Patch } from './patch.ts';

const root = new URL('../../../', import.meta.url);

const replaced: Readonly<Record<string, string>> = {
  'src/state/lock.ts': 'test/sim/world/sim-lock.ts',
  'src/state/sqlite-state.ts': 'test/sim/world/sim-state.ts',
};

const names = (process.env['TAILRACE_SIM_PATCHES'] ?? 'limits').split(',').filter((name) => name !== '');
const patches = new Map<string, Patch[]>();
for (const name of names) {
  const set = name === 'limits' ? limits : mutations.find((mutation) => mutation.name === name)?.patches;
  if (set === undefined) throw new Error(`There is no set of patches ${name}.`);
  for (const patch of set) patches.set(patch.file, [...(patches.get(patch.file) ?? []), patch]);
}

function pathOf(url: string): string | undefined {
  return url.startsWith(root.href) ? url.slice(root.href.length) : undefined;
}

registerHooks({
  resolve(specifier, context, nextResolve) {
    const resolved = nextResolve(specifier, context);
    const path = pathOf(resolved.url);
    if (path === undefined) return resolved;
    const isFromStart = context.parentURL === new URL('src/pipeline/start.ts', root).href;
    const other = path === 'src/log/open.ts' && isFromStart ? 'test/sim/world/audited-open.ts' : replaced[path];
    return other === undefined ? resolved : { ...resolved, url: new URL(other, root).href };
  },
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    const toDo = patches.get(pathOf(url) ?? '');
    if (toDo === undefined || loaded.source === null || loaded.source === undefined) return loaded;
    const text = typeof loaded.source === 'string' ? loaded.source : Buffer.from(loaded.source as Uint8Array).toString();
    return { ...loaded, source: patched(text, toDo) };
  },
});
