/** The server's settings: whether it writes what is read, has room for one more reader, and keeps the history long enough. */
import type { Finding } from '../../../../src/connector/finding.ts';
import type { PostgresConfig } from '../config.ts';
import type { Query } from '../connection/query.ts';
import { LEVEL_RAISES_ITSELF_VERSION, MAJOR_MIN, VERSION_MIN } from '../slot/server-facts.ts';
import { versionFlaw } from '../slot/version-flaws.ts';
import { fine, warning } from './findings.ts';

export interface ServerSettings {
  readonly version: number;
  readonly versionName: string;
  readonly walLevel: string;
  readonly inRecovery: boolean;
  readonly slotsFree: number;
  readonly sendersFree: number;
  /** Bytes; -1 for no limit. */
  readonly slotKeepBytes: number;
  /** Seconds; 0 for never; null before 18. */
  readonly idleSlotTimeoutS: number | null;
  /** Amazon RDS and Aurora have parameter groups instead of ALTER SYSTEM, and a role instead of the REPLICATION attribute. */
  readonly isRds: boolean;
}

const MiB = 1024 * 1024;
/** Less history than this is gone after minutes of ordinary writing. */
const SLOT_KEEP_BYTES_LOW = 1024 * MiB;

/** `max_slot_wal_keep_size` is in MiB and `idle_replication_slot_timeout` in seconds, whatever unit they were written in. */
const SETTINGS = `
  SELECT current_setting('server_version_num') AS version, current_setting('server_version') AS version_name, current_setting('wal_level') AS wal_level,
    pg_is_in_recovery() AS in_recovery,
    current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots) AS slots_free,
    current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication) AS senders_free,
    (SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size') AS slot_keep_mb,
    (SELECT setting FROM pg_settings WHERE name = 'idle_replication_slot_timeout') AS idle_slot_timeout_s,
    EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication') AS is_rds`;

export async function readSettings(query: Query, signal: AbortSignal): Promise<ServerSettings> {
  const [row] = await query(SETTINGS, [], signal);
  const number = (name: string): number => Number(row?.[name]);
  const keepMb = number('slot_keep_mb');
  const idle = row?.['idle_slot_timeout_s'] ?? null;
  return {
    version: number('version'),
    versionName: row?.['version_name'] ?? '',
    walLevel: row?.['wal_level'] ?? '',
    inRecovery: row?.['in_recovery'] === 't',
    slotsFree: number('slots_free'),
    sendersFree: number('senders_free'),
    slotKeepBytes: keepMb < 0 ? -1 : keepMb * MiB,
    idleSlotTimeoutS: idle === null ? null : Number(idle),
    isRds: row?.['is_rds'] === 't',
  };
}

/** `slotThere`: our slot exists, so none has to be free. */
export function serverFindings(settings: ServerSettings, config: PostgresConfig, slotThere: boolean): Finding[] {
  const findings = [versionFinding(settings), ...flawFindings(settings)];
  if (settings.inRecovery) {
    const fix = 'Give the url of the primary.';
    return [...findings, { level: 'problem', subject: 'server', code: 'SRC_SETTING', message: 'it is a standby, which has no history of its own', fix }];
  }
  findings.push(walLevelFinding(settings));
  if (!slotThere) findings.push(roomFinding(settings, 'max_replication_slots', settings.slotsFree, 'replication slot'));
  findings.push(roomFinding(settings, 'max_wal_senders', settings.sendersFree, 'replication connection'));
  return [...findings, ...retentionFindings(settings), ...timeoutFindings(config)];
}

function versionFinding({ version, versionName }: ServerSettings): Finding {
  if (version >= VERSION_MIN) return fine('version', `PostgreSQL ${versionName}`);
  return { level: 'problem', subject: 'version', code: 'SRC_VERSION', message: `PostgreSQL ${versionName} is too old`, fix: `Use PostgreSQL ${MAJOR_MIN} or later.` };
}

function flawFindings({ version, versionName }: ServerSettings): Finding[] {
  const flaw = versionFlaw(version);
  return flaw === null ? [] : [warning('version', `with PostgreSQL ${versionName} ${flaw.message}`, `Update the server to ${flaw.soundFrom} or later.`)];
}

function walLevelFinding(settings: ServerSettings): Finding {
  const { walLevel, version } = settings;
  if (walLevel === 'logical') return fine('wal_level', 'logical');
  if (walLevel === 'replica' && version >= LEVEL_RAISES_ITSELF_VERSION) return fine('wal_level', 'replica: the server raises it when the slot is made');
  const fix = settings.isRds ? 'Set rds.logical_replication = 1 in the parameter group, and restart the server.' : 'ALTER SYSTEM SET wal_level = logical;\nand restart the server.';
  return { level: 'problem', subject: 'wal_level', code: 'SRC_SETTING', message: `it is ${walLevel}: the log does not hold what changes are read from`, fix };
}

function roomFinding(settings: ServerSettings, setting: string, free: number, what: string): Finding {
  if (free > 0) return fine(setting, `${free} free`);
  return { level: 'problem', subject: setting, code: 'SRC_SETTING', message: `no ${what} is free`, fix: settingFix(settings, setting, '20', true) };
}

function retentionFindings(settings: ServerSettings): Finding[] {
  const { slotKeepBytes, idleSlotTimeoutS } = settings;
  const findings: Finding[] = [];
  const subject = 'max_slot_wal_keep_size';
  if (slotKeepBytes < 0) findings.push(fine(subject, 'no limit: while tailrace is stopped, the server keeps all of its log'));
  else if (slotKeepBytes >= SLOT_KEEP_BYTES_LOW) findings.push(fine(subject, `${Math.round(slotKeepBytes / MiB)} MiB: after so much log with tailrace stopped, indices must be built again`));
  else findings.push(warning(subject, `with ${Math.round(slotKeepBytes / MiB)} MiB of log a short stop makes building the indices again necessary`, settingFix(settings, subject, "'50GB'", false)));
  if (idleSlotTimeoutS !== null && idleSlotTimeoutS > 0) {
    const message = `the server gives up a slot that was not read for ${Math.round(idleSlotTimeoutS / 60)} min; then indices must be built again`;
    findings.push(warning('idle_replication_slot_timeout', message, settingFix(settings, 'idle_replication_slot_timeout', '0', false)));
  }
  return findings;
}

function timeoutFindings(config: PostgresConfig): Finding[] {
  if (config.wal_sender_timeout_ms > 0) return [fine('wal_sender_timeout', `${config.wal_sender_timeout_ms / 1000} s on our connection`)];
  return [warning('wal_sender_timeout', 'it is turned off: a connection that is cut without a word is noticed late, or never', 'Leave `wal_sender_timeout_ms` at its default.')];
}

function settingFix(settings: ServerSettings, setting: string, value: string, restart: boolean): string {
  if (settings.isRds) return `Set ${setting} = ${value.replaceAll("'", '')} in the parameter group${restart ? ', and restart the server' : ''}.`;
  return `ALTER SYSTEM SET ${setting} = ${value};\n${restart ? 'and restart the server.' : 'SELECT pg_reload_conf();'}`;
}
