import { expect, test } from 'vitest';
import { serverFindings, type ServerSettings } from '../../../connectors/sources/postgres/check/server.ts';
import { postgresConfigSchema } from '../../../connectors/sources/postgres/config.ts';
import { versionFlaw } from '../../../connectors/sources/postgres/slot/version-flaws.ts';

const loses = /open while a table is published may not be sent/;
const fails = /invalid memory alloc request size/;

test.each([
  [130_020, loses, '13.22'],
  [130_021, fails, '13.22'],
  [130_022, null, ''],
  [140_017, loses, '14.19'],
  [140_018, fails, '14.19'],
  [140_019, null, ''],
  [150_000, loses, '15.14'],
  [150_013, fails, '15.14'],
  [150_018, null, ''],
  [160_008, loses, '16.10'],
  [160_009, fails, '16.10'],
  [160_010, null, ''],
  [170_004, loses, '17.6'],
  [170_005, fails, '17.6'],
  [170_006, null, ''],
  [180_000, null, ''],
  [190_000, null, ''],
])('of the server version %i is known what it should be', (version, flaw, soundFrom) => {
  const known = versionFlaw(version);
  if (flaw === null) expect(known).toBeNull();
  else expect(known).toEqual({ message: expect.stringMatching(flaw) as string, soundFrom });
});

test('the check warns of it, and names the version to go to', () => {
  const settings: ServerSettings = { version: 160_009, versionName: '16.9', walLevel: 'logical', inRecovery: false, slotsFree: 5, sendersFree: 5, slotKeepBytes: -1, idleSlotTimeoutS: null, isRds: false };
  const config = postgresConfigSchema.parse({ type: 'postgres', url: 'postgres://localhost/shop' });
  expect(serverFindings(settings, config, true)).toContainEqual({ level: 'warning', subject: 'version', message: expect.stringMatching(fails) as string, fix: 'Update the server to 16.10 or later.' });
  expect(serverFindings({ ...settings, version: 160_010 }, config, true).filter(({ level }) => level === 'warning')).toEqual([]);
});
