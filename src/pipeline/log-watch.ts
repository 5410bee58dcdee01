/** Says in the log lines when the change log has no room, and when it has again. */
import type { LogCondition, LogStore } from '../connector/log-store.ts';
import type { Runtime } from '../runtime/runtime.ts';

const LOOK_EVERY_MS = 500;

export class LogWatch {
  readonly #log: LogStore;
  readonly #runtime: Runtime;

  constructor(log: LogStore, runtime: Runtime) {
    this.#log = log;
    this.#runtime = runtime;
  }

  /** Watches until the signal is aborted, then rejects with its reason. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#runtime;
    let said: LogCondition = 'ok';
    for (;;) {
      const { condition } = this.#log;
      if (condition !== said) {
        if (condition === 'ok') logger.info('log_condition', { condition });
        else logger.warn('log_condition', { condition, code: condition === 'full' ? 'LOG_FULL' : 'DISK_FULL' });
        said = condition;
      }
      await clock.sleep(LOOK_EVERY_MS, signal);
    }
  }
}
