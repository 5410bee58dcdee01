/** What targets hold that this pipeline does nothing with, for verbs: looked at without the daemon, and removed through it when one runs. */
import { existsSync } from 'node:fs';
import type { TailraceConfig } from '../../src/config/definition.ts';
import { sentence, suggestion } from '../../src/config/nearest.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { layoutOf } from '../../src/pipeline/layout.ts';
import { dropLeft, leftAt, type LeftBehind } from '../../src/pipeline/left-behind.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { takeLock } from '../../src/state/lock.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import { askDaemon, daemonAnswers } from './admin-client.ts';
import { fileBytes } from './file-bytes.ts';
import { socketPathOf } from './reading.ts';
import { openTarget } from './target-standings.ts';

/** A target that says nothing for so long is not waited for. */
const ANSWER_WITHIN_MS = 30_000;

/** Errors: USAGE for a target that the config does not have; those of the target and the state file. */
export async function leftBehindAt(config: TailraceConfig, at: string): Promise<LeftBehind[]> {
  refuseUnknownTarget(config, at);
  const layout = layoutOf(config.data_directory);
  using state = existsSync(layout.state) ? openSqliteState({ path: layout.state, readOnly: { bytesOf: fileBytes } }) : null;
  await using target = await openTarget(config, at, nodeRuntime(silentLogger));
  return leftAt(at, await target.generations(AbortSignal.timeout(ANSWER_WITHIN_MS)), { records: state?.generations() ?? [], isConfigured: configured(config) });
}

/** Errors: as `dropLeft`, and LOCK_HELD where another process holds the data directory. */
export async function dropLeftBehind(config: TailraceConfig, left: Pick<LeftBehind, 'index' | 'generation'>, at: string): Promise<void> {
  refuseUnknownTarget(config, at);
  const socketPath = socketPathOf(config);
  if (await daemonAnswers(socketPath)) {
    await askDaemon(socketPath, { path: '/v1/generations/drop', method: 'POST', query: { index: left.index, generation: String(left.generation), at } });
    return;
  }
  const layout = layoutOf(config.data_directory);
  const hasRun = existsSync(layout.state);
  // Nothing may be begun under that number while it is removed.
  using _lock = hasRun ? takeLock(layout.lock) : null;
  using state = hasRun ? openSqliteState({ path: layout.state }) : null;
  await using target = await openTarget(config, at, nodeRuntime(silentLogger));
  await dropLeft(target, left, configured(config), state, AbortSignal.timeout(ANSWER_WITHIN_MS));
}

function configured({ indices }: TailraceConfig): (index: string) => boolean {
  return (index) => indices.some(({ name }) => name === index);
}

function refuseUnknownTarget({ targets }: TailraceConfig, at: string): void {
  const known = targets.map(({ name }) => name);
  if (!known.includes(at)) throw new TailraceError('USAGE', { message: sentence(`The config has no target \`${at}\`${suggestion(at, known)}`), hint: `Name one of: ${known.join(', ')}.` });
}
