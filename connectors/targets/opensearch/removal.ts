/** Takes documents out of a generation other than by a change of its rows: below a version, or whatever their version is. */
import type { ItemResult, Operation } from '../../../src/connector/target.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { Clock } from '../../../src/runtime/clock.ts';
import { ANSWER_FILTER } from './answer.ts';
import { idProblem } from './bulk.ts';
import { parsed, pathOf, type Cluster } from './cluster.ts';
import { failureOf, serverErrorOf } from './failure.ts';
import { GC_DELETES, settingsBody } from './index-settings.ts';
import { plainDeletes } from './ndjson.ts';
import { scanPages, type ScanRequest } from './scan.ts';
import type { Dialect } from './dialect.ts';

const SWEEP_RETRY_MS = 250;
const SWEEP_TRIES_MAX = 40;

/** Sends operations through the generation's write alias. */
export type Send = (operations: readonly Operation[], signal: AbortSignal) => Promise<ItemResult[]>;

export interface RemovalDeps {
  readonly cluster: Cluster;
  readonly dialect: Dialect;
  readonly clock: Clock;
  readonly send: Send;
}

/**
 * Removes every document below `version`. A delete with the version before it wins over those and over nothing newer, so that what is written
 * meanwhile stays. Returns how many went.
 */
export async function sweepBelow(version: bigint, request: Omit<ScanRequest, 'idsOnly'>, { cluster, dialect, clock, send }: RemovalDeps, signal: AbortSignal): Promise<number> {
  let removed = 0;
  for await (const page of scanPages({ ...request, idsOnly: true }, cluster, dialect, signal)) {
    let deletes = page.filter((held) => held.version < version).map(({ id }): Operation => ({ kind: 'delete', id, version: version - 1n }));
    for (let tries = 0; deletes.length > 0; tries += 1) {
      const results = await send(deletes, signal);
      removed += results.filter(({ outcome }) => outcome === 'applied').length;
      deletes = deletes.filter((_, i) => results[i]?.outcome === 'retry');
      if (deletes.length === 0) break;
      if (tries === SWEEP_TRIES_MAX) throw new TailraceError('TGT_CONN', { message: `${request.physical} does not take deletes for now.` });
      await clock.sleep(SWEEP_RETRY_MS, signal);
    }
  }
  return removed;
}

/** The servers' clock for remembered deletes moves in steps of 200 ms (thread_pool.estimated_time_interval). */
const FORGET_EVERY_MS = 250;
const FORGET_WITHIN_MS = 15_000;
const REMOVE_AT_ONCE = 1000;

/**
 * Removes documents whatever their version is, and makes the server forget the deletes: they are remembered for no time at all meanwhile, and
 * dropped at a refresh. Whether one is forgotten is asked with a delete of version 0, which every remembered one refuses.
 */
export async function removeAndForget(ids: readonly string[], physical: string, alias: string, { cluster, clock, send }: RemovalDeps, onGone: (signal: AbortSignal) => Promise<never>, signal: AbortSignal): Promise<void> {
  // What the server cannot have it does not have.
  const possible = [...new Set(ids)].filter((id) => idProblem(id) === undefined);
  if (possible.length === 0) return;
  await rememberFor('0s', physical, cluster, signal);
  try {
    for (let from = 0; from < possible.length; from += REMOVE_AT_ONCE) await removePlainly(possible.slice(from, from + REMOVE_AT_ONCE), physical, alias, cluster, onGone, signal);
    await untilForgotten(possible, physical, cluster, clock, send, signal);
  } finally {
    // Also when called off; an opening puts it right as well.
    await rememberFor(GC_DELETES, physical, cluster, new AbortController().signal);
  }
}

async function rememberFor(time: string, physical: string, cluster: Cluster, signal: AbortSignal): Promise<void> {
  await cluster.json({ method: 'PUT', path: `${pathOf(physical)}/_settings`, body: JSON.stringify(settingsBody({ gc_deletes: time })) }, { what: `setting gc_deletes of ${physical}`, physical }, signal);
}

async function removePlainly(ids: readonly string[], physical: string, alias: string, cluster: Cluster, onGone: (signal: AbortSignal) => Promise<never>, signal: AbortSignal): Promise<void> {
  const what = `removing documents of ${physical}`;
  const answer = await cluster.request({ method: 'POST', path: `${pathOf(alias, '_bulk')}?require_alias=true&${ANSWER_FILTER}`, body: plainDeletes(ids) }, signal);
  if (answer.status !== 200) throw failureOf(answer.status, serverErrorOf(answer.body), what);
  const { items } = parsed(answer, what) as { readonly items: readonly Readonly<Record<string, { readonly status?: number; readonly error?: { readonly type?: string } }>>[] };
  for (const [i, item] of items.entries()) {
    const { status = 0, error } = Object.values(item)[0] ?? {};
    if (error?.type === 'index_not_found_exception') await onGone(signal);
    if (i < ids.length && status >= 300 && status !== 404) throw failureOf(status, { type: error?.type ?? '', reason: '' }, what);
  }
}

async function untilForgotten(ids: readonly string[], physical: string, cluster: Cluster, clock: Clock, send: Send, signal: AbortSignal): Promise<void> {
  const deadline = clock.monotonicMs() + FORGET_WITHIN_MS;
  let remembered = ids;
  while (remembered.length > 0) {
    await clock.sleep(FORGET_EVERY_MS, signal);
    await cluster.json({ method: 'POST', path: `${pathOf(physical)}/_refresh`, isSlow: true }, { what: `refreshing ${physical}`, physical }, signal);
    const results = await send(remembered.map((id): Operation => ({ kind: 'delete', id, version: 0n })), signal);
    const refused = remembered.filter((_, i) => results[i]?.outcome !== 'applied');
    // A document that is there was put again meanwhile, with the version that it had.
    const held = await heldOf(refused, physical, cluster, signal);
    remembered = refused.filter((id) => !held.has(id));
    if (remembered.length > 0 && clock.monotonicMs() > deadline) throw new TailraceError('TGT_CONN', { message: `${physical} still remembers ${remembered.length} of the deletes that it was told to forget.` });
  }
}

async function heldOf(ids: readonly string[], physical: string, cluster: Cluster, signal: AbortSignal): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set();
  const answer = await cluster.json({ method: 'POST', path: `${pathOf(physical)}/_mget?_source=false&filter_path=docs._id,docs.found`, body: JSON.stringify({ ids }) }, `looking at documents of ${physical}`, signal);
  const { docs = [] } = answer as { readonly docs?: readonly { readonly _id: string; readonly found?: boolean }[] };
  return new Set(docs.filter(({ found }) => found === true).map(({ _id: id }) => id));
}
