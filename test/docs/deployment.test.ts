/** The container image and the service unit have the properties that SECURITY.md and docs/operating.md promise. Neither can be started here, so they are read. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { ExitCode } from '../../src/errors/policy.ts';

const repository = join(import.meta.dirname, '..', '..');
const read = (path: string): string => readFileSync(join(repository, path), 'utf8');

interface Instruction {
  readonly name: string;
  readonly value: string;
}

/** Instructions of a Dockerfile by stage; continued lines are joined and comments dropped. */
function stagesOf(text: string): Instruction[][] {
  const lines = text.replaceAll(/^#.*\n/gm, '').replaceAll(/\\\n\s*/g, '').split('\n').filter((line) => line.trim() !== '');
  const stages: Instruction[][] = [];
  for (const line of lines) {
    const [, name = '', value = ''] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
    if (name === 'FROM') stages.push([]);
    stages.at(-1)?.push({ name, value });
  }
  return stages;
}

/** Words of an exec-form instruction; throws for the shell form, which has a shell take the signals. */
function execForm(value: string): string[] {
  return JSON.parse(value) as string[];
}

describe('Dockerfile', () => {
  const stages = stagesOf(read('Dockerfile'));
  const last = stages.at(-1) ?? [];
  const values = (name: string): string[] => last.filter((instruction) => instruction.name === name).map(({ value }) => value);

  test('it builds in one stage and runs in another, on the Node that the package asks for', () => {
    expect(stages.length).toBeGreaterThan(1);
    const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } };
    const major = /\d+/.exec(engines.node)?.[0];
    expect(stages.map(([from]) => from?.value.split(' ')[0])).toEqual(stages.map(() => `node:${major}-bookworm-slim`));
  });

  test('it runs under a numeric account that is not root', () => {
    const [user] = values('USER');
    expect(values('USER')).toHaveLength(1);
    expect(user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  });

  test('it writes to /data only, which belongs to that account', () => {
    expect(values('VOLUME')).toEqual(['/data']);
    const [user] = values('USER');
    expect(values('COPY').filter((value) => value.endsWith(' /data'))).toEqual([`--from=build --chown=${user} /empty /data`]);
  });

  test('nothing runs and nothing is installed in the final stage', () => {
    expect(values('RUN')).toEqual([]);
    expect(values('ADD')).toEqual([]);
  });

  test('signals reach tailrace itself, and the health check asks the daemon', () => {
    const entry = ['node', '/app/dist/cmd/tailrace.js'];
    expect(execForm(values('ENTRYPOINT')[0] ?? '')).toEqual(entry);
    expect(execForm(values('CMD')[0] ?? '')[0]).toBe('run');
    const [, command] = /\bCMD (\[.*\])$/.exec(values('HEALTHCHECK')[0] ?? '') ?? [];
    expect(execForm(command ?? '').slice(0, 4)).toEqual([...entry, 'status', '--json']);
    expect(values('STOPSIGNAL')).toEqual(['SIGTERM']);
  });

  test('dependencies are installed from the lock file, without install scripts, and without those for development in the image', () => {
    const runs = stages.flat().filter(({ name }) => name === 'RUN').map(({ value }) => value);
    const installs = runs.filter((value) => value.startsWith('npm ') && !value.startsWith('npm run'));
    expect(installs.every((value) => value.startsWith('npm ci') && value.includes('--ignore-scripts'))).toBe(true);
    expect(installs.at(-1)).toContain('--omit=dev');
  });

  test('what the build copies is what .dockerignore lets through', () => {
    const allowed = read('.dockerignore').split('\n').filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    const copied = stages.flat().filter(({ name, value }) => name === 'COPY' && !value.includes('--from')).flatMap(({ value }) => value.split(' ').slice(0, -1));
    expect(new Set(copied)).toEqual(new Set(allowed));
  });
});

describe('docs/compose.yaml', () => {
  const compose = parse(read('docs/compose.yaml')) as { services: { tailrace: Record<string, unknown> }; configs: { tailrace: { content: string } } };

  test('tailrace has a read-only root, no capabilities and a volume for its data', () => {
    expect(compose.services.tailrace).toMatchObject({ read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'], volumes: ['tailrace:/data'] });
    expect(compose.configs.tailrace.content).toContain('data_directory: /data');
  });
});

describe('docs/systemd/tailrace.service', () => {
  const unit = new Map(
    read('docs/systemd/tailrace.service')
      .split('\n')
      .map((line) => /^(\w+)=(.*)$/.exec(line))
      .filter((match) => match !== null)
      .map(([, name = '', value = '']) => [name, value]),
  );

  test('it is not started again for what waits for a person', () => {
    const mayPass: readonly number[] = [ExitCode.ok, ExitCode.no, ExitCode.io, ExitCode.tryAgain];
    const waits = Object.values(ExitCode).filter((code) => !mayPass.includes(code));
    expect(unit.get('RestartPreventExitStatus')?.split(' ').map(Number)).toEqual(waits);
    expect(unit.get('Restart')).toBe('on-failure');
  });

  test('it runs under an account of its own and writes to its state directory only', () => {
    const wanted = { DynamicUser: 'yes', ProtectSystem: 'strict', ProtectHome: 'yes', NoNewPrivileges: 'yes', StateDirectory: 'tailrace', CapabilityBoundingSet: '' };
    expect(Object.fromEntries(unit)).toMatchObject(wanted);
    expect(unit.has('ReadWritePaths')).toBe(false);
  });
});
