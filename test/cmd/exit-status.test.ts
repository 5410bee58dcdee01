import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ExitCode } from '../../src/errors/policy.ts';
import { repository } from './run-cli.ts';

const [, table = ''] = /## Exit statuses\n([^]*?)\n## /.exec(readFileSync(join(repository, 'docs', 'cli.md'), 'utf8')) ?? [];
const documented = [...table.matchAll(/^\| ([\d, ]+) \|.*\|(?: (\S*))? \|$/gm)].map(([, statuses = '', restart]) => ({ statuses: statuses.split(', ').map(Number), restart: restart === 'yes' }));

test('docs/cli.md lists every exit status that there is, and those of signals', () => {
  expect(documented.flatMap(({ statuses }) => statuses)).toEqual([...Object.values(ExitCode), 129, 130, 143]);
});

test('docs/cli.md and the service unit say the same of restarting', () => {
  const restart = documented.filter((row) => row.restart).flatMap(({ statuses }) => statuses).filter((status) => status < 128);
  expect(restart).toEqual([ExitCode.no, ExitCode.io, ExitCode.tryAgain]);
  const [, prevented = ''] = /^RestartPreventExitStatus=(.*)$/m.exec(readFileSync(join(repository, 'docs', 'systemd', 'tailrace.service'), 'utf8')) ?? [];
  const others = Object.values(ExitCode).filter((status) => status !== ExitCode.ok && !restart.includes(status));
  expect(prevented.split(' ').map(Number)).toEqual(others);
});
