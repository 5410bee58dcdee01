/** The config as the engine gets it: checked, complete, with every default filled in. Settings keep the names that they have in the file. */
import type { AdminSettings, LoggingSettings, LogSettings, MemorySettings, SnapshotSettings } from './engine-settings.ts';
import type { IndexDefinition } from './index-settings.ts';

export interface SourceDefinition {
  readonly name: string;
  /** Which connector reads it: `postgres`. */
  readonly type: string;
  /** Output of the connector's own schema. */
  readonly settings: Readonly<Record<string, unknown>>;
}

export interface TargetDefinition {
  readonly name: string;
  /** Which connector writes it: `sqlite`. */
  readonly type: string;
  /** Output of the connector's own schema. */
  readonly settings: Readonly<Record<string, unknown>>;
}

export interface TailraceConfig {
  /** Folder of everything durable: log, state, embedded targets. As in the file: relative paths are relative to the config file. */
  readonly data_directory: string;
  /** In the order of the file, as are targets and indices. */
  readonly sources: readonly SourceDefinition[];
  readonly targets: readonly TargetDefinition[];
  readonly indices: readonly IndexDefinition[];
  readonly log: LogSettings;
  readonly snapshot: SnapshotSettings;
  readonly memory: MemorySettings;
  readonly admin: AdminSettings;
  readonly logging: LoggingSettings;
  /** `/readyz` answers yes while every index is at most this far behind its source. */
  readonly ready_within_ms: number;
  /** How long a stop may take until what is under way is given up. */
  readonly shutdown_within_ms: number;
}
