/** Stands in for `src/log/open.ts` where the pipeline imports it: the production log, handed to the auditors as it opens. */
import type { LogStore } from '../../../src/connector/log-store.ts';
import { openLog as openRealLog, type LogOptions } from '../../../src/log/open.ts';
import type { Runtime } from '../../../src/runtime/runtime.ts';
import { present } from './sim-machine.ts';

export async function openLog(options: LogOptions, runtime: Runtime): Promise<LogStore> {
  const log = await openRealLog(options, runtime);
  return present().onLogOpened(log);
}
