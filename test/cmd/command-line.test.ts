import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { takeLock } from '../../src/state/lock.ts';
import { granted } from '../requirement.ts';
import { runCli, script, shapeDifferences, type CliResult } from './run-cli.ts';

// Each command is a process of its own, and the machine may be busy.
vi.setConfig({ testTimeout: 60_000 });

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tailrace-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function configFile(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** What is printed about an error, without the name of the program and the marks. */
function said({ stderr }: CliResult): string[] {
  return stderr.trimEnd().split('\n').map((line) => line.trim());
}

describe('a command that is not understood', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['runn', 'tailrace: `tailrace` knows no verb `runn`.', '→ Did you mean `run`? See `tailrace --help`.'],
    ['frobnicate', 'tailrace: `tailrace` knows no verb `frobnicate`.', '→ See `tailrace --help`.'],
    ['run --confg x', 'tailrace: `tailrace run` knows no option `--confg`.', '→ Did you mean `--config`? See `tailrace run --help`.'],
    ['lag --max-second=5', 'tailrace: `tailrace lag` knows no option `--max-second`.', '→ Did you mean `--max-seconds`? See `tailrace lag --help`.'],
    ['log statt', 'tailrace: `tailrace log` knows no verb `statt`.', '→ Did you mean `stat`? See `tailrace log --help`.'],
    ['log', 'tailrace: `tailrace log` needs one of: stat, tail, dump, verify.', '→ See `tailrace log --help`.'],
    ['search', 'tailrace: `tailrace search` lacks an argument.', '→ Type `tailrace search INDEX QUERY`.'],
    ['search products', 'tailrace: There is no word to search for.', '→ Type `tailrace search INDEX WORDS`.'],
    ['run products', 'tailrace: `tailrace run` knows no argument `products`.', '→ See `tailrace run --help`.'],
    ['run --config', 'tailrace: Not enough arguments following: config.', '→ See `tailrace run --help`.'],
    ['run --rebuild', 'tailrace: Not enough arguments following: rebuild.', '→ See `tailrace run --help`.'],
    ['lag -w', 'tailrace: `tailrace lag` knows no option `-w`.', '→ See `tailrace lag --help`.'],
    ['log dump --first 5 --last 3', 'tailrace: `--last 3` comes before `--first 5`.', '→ See `tailrace log dump --help`.'],
    ['resync products --watch --no-watch', 'tailrace: `--watch` and `--no-watch` are given: one of them is meant.', '→ See `tailrace resync --help`.'],
    ['check --config a --config b', 'tailrace: `--config` is given more than once.', '→ See `tailrace check --help`.'],
    ['lag --watch --max-seconds 5', 'tailrace: `--watch` goes on until it is stopped, `--max-seconds` looks once: give one of them.', '→ See `tailrace lag --help`.'],
    ['lag --max-seconds soon', 'tailrace: `--max-seconds` is a number of seconds, 0 or more.', '→ See `tailrace lag --help`.'],
    ['positions --dry-run', 'tailrace: `--dry-run` says what `--rewind` would do: give both.', '→ See `tailrace positions --help`.'],
    ['positions --rewind products', 'tailrace: `--rewind` takes an index and a seq: `--rewind products=3400`.', '→ See `tailrace positions --help`.'],
    ['trace products', 'tailrace: `tailrace trace` lacks an argument.', '→ Type `tailrace trace INDEX ID`.'],
    ['trace products 57 --limit 0', 'tailrace: `--limit` is a whole number from 1 to 100000.', '→ See `tailrace trace --help`.'],
    ['trace products 57 --first new', 'tailrace: `--first` is a whole number.', '→ See `tailrace trace --help`.'],
    ['dlq list --code DOC_FALED', 'tailrace: No error has the code `DOC_FALED`; did you mean `DOC_FAILED`?', '→ docs/errors.md has all of them.'],
    ['dlq list --limit none', 'tailrace: `--limit` is a whole number, 1 or more.', '→ See `tailrace dlq list --help`.'],
    ['dlq drop products', 'tailrace: What is to be dropped is said in one way: by ids, by `--code`, or with `--all`.', '→ See `tailrace dlq drop --help`.'],
    ['dlq retry products', 'tailrace: What is to be tried again is said in one way: by ids, by `--code`, or with `--all`.', '→ See `tailrace dlq retry --help`.'],
    ['dlq drop products 57 --all', 'tailrace: What is to be dropped is said in one way: by ids, by `--code`, or with `--all`.', '→ See `tailrace dlq drop --help`.'],
    ['verify products --sample 0', 'tailrace: A sample is a number of rows, or a percentage of them above 0: 100000 or 5%.', '→ See `tailrace verify --help`.'],
    ['verify products --sample 101%', 'tailrace: A sample is a number of rows, or a percentage of them above 0: 100000 or 5%.', '→ See `tailrace verify --help`.'],
    ['verify products --rate 0', 'tailrace: `--rate` is a whole number, 1 or more.', '→ See `tailrace verify --help`.'],
    ['verify products --limit 1.5', 'tailrace: `--limit` is a whole number, 0 or more.', '→ See `tailrace verify --help`.'],
    ['resync', 'tailrace: `tailrace resync` needs an index, or `--table`.', '→ See `tailrace resync --help`.'],
    ['resync products --table shop.public.products', 'tailrace: `--table` builds every index of the table again: it goes with neither an index nor a choice of rows.', '→ See `tailrace resync --help`.'],
    ['resync products --key 1 --where true', 'tailrace: Which rows is said in one way: `--key` and `--where` are given.', '→ See `tailrace resync --help`.'],
    ['resync products --key 1 --no-swap', 'tailrace: `--key` reads rows in place, in the generations that there are: there is nothing to swap.', '→ See `tailrace resync --help`.'],
    ['resync products --pause --resume', 'tailrace: `--pause` is about what goes on, and goes with no other option; `--resume` is given, too.', '→ See `tailrace resync --help`.'],
    ['resync products --cancel --dry-run', 'tailrace: `--cancel` is about what goes on, and goes with no other option; `--dry-run` is given, too.', '→ See `tailrace resync --help`.'],
    ['resync --pause', 'tailrace: `tailrace resync` needs an index, or `--table`.', '→ See `tailrace resync --help`.'],
    ['log tail -n -3', 'tailrace: `--count` is a whole number, 0 or more.', '→ See `tailrace log tail --help`.'],
  ];
  test.for(cases)('ends with status 64 and says what was probably meant: %s', async ([command, message, hint]) => {
    const result = await runCli(command.split(' '));
    expect({ code: result.code, stdout: result.stdout, said: said(result) }).toEqual({ code: 64, stdout: '', said: [message, 'Nothing was started.', hint, 'USAGE: docs/errors.md#usage'] });
  });

  test('without any verb names all of them', async () => {
    const result = await runCli([]);
    expect(result.code).toBe(64);
    expect(said(result)[0]).toBe('tailrace: `tailrace` needs a verb: demo, init, check, plan, run, status, lag, search, trace, positions, log, dlq, verify, resync, generations, schema.');
  });

  test('with --json has the error on standard output too, as one object', async () => {
    const { code, stdout } = await runCli(['status', '--json', '--bogus']);
    expect(code).toBe(64);
    expect(JSON.parse(stdout)).toEqual({ error: { code: 'USAGE', message: '`tailrace status` knows no option `--bogus`.', did: 'Nothing was started.', hint: 'See `tailrace status --help`.', causes: [] } });
  });
});

describe('the config', () => {
  test('that is not there ends with status 78, and the hint depends on whether it was named', async () => {
    const unnamed = await runCli(['check'], { cwd: folder });
    expect(unnamed.code).toBe(78);
    expect(said(unnamed)).toEqual([expect.stringMatching(/tailrace\.yaml is not there\.$/), 'Nothing was started.', '→ Name it with `--config FILE`, or try `tailrace demo`, which needs none.', 'CFG_UNREADABLE: docs/errors.md#cfg_unreadable']);
    expect(said(await runCli(['check', '--config', folder]))[0]).toBe(`tailrace: The config file ${folder} is a folder.`);
  });

  test('is named by --config, by TAILRACE_CONFIG, or is ./tailrace.yaml, in this order', async () => {
    const broken = (name: string): string => configFile(name, `${name.replace('.yaml', '')}: 1\n`);
    const [byOption, byVariable] = [broken('option.yaml'), broken('variable.yaml')];
    broken('tailrace.yaml');
    const first = async (args: readonly string[], env: Record<string, string>): Promise<string> => said(await runCli(['check', ...args], { cwd: folder, env })).join(' ');
    expect(await first(['--config', byOption], { TAILRACE_CONFIG: byVariable })).toContain('option.yaml');
    expect(await first([], { TAILRACE_CONFIG: byVariable })).toContain('variable.yaml');
    expect(await first([], {})).toContain('/tailrace.yaml');
  });

  test('that is wrong, or lacks a secret, ends with status 78 and the path of the setting, and prints no value', async () => {
    const wrong = await runCli(['run', '--config', configFile('wrong.yaml', 'sources:\n  shop: { type: postgres, url: "postgres://u:hunter22@h/d", slott: x }\nindices:\n  products: { from: shop.public.products }\n')]);
    expect(wrong.code).toBe(78);
    expect(wrong.stderr).toContain('line 2, column 61: sources.shop: `slott` is not known here; did you mean `slot`?');
    expect(wrong.stderr).toContain('CFG_INVALID');
    expect(wrong.stderr).not.toContain('hunter22');
    const missing = await runCli(['run', '--config', configFile('missing.yaml', 'sources:\n  shop: { type: postgres, url: !env TAILRACE_NO_SUCH_VARIABLE }\nindices:\n  products: { from: shop.public.products }\n')]);
    expect(missing.code).toBe(78);
    expect(missing.stderr).toContain('TAILRACE_NO_SUCH_VARIABLE');
    expect(missing.stderr).toContain('CFG_SECRET_MISSING');
  });
});

test('a url that is not usable is a fault of the config, and the hint says how one is written', async () => {
  const path = configFile('url.yaml', "sources: { shop: { type: postgres, url: 'mysql://u:hunter22@h/d' } }\nindices: { products: { from: shop.public.products } }\n");
  const { code, stdout } = await runCli(['check', '--config', path]);
  expect(code).toBe(1);
  expect(stdout).toContain(`✗ config ${path}, see below\n`);
  expect(stdout).toMatch(/✗ +connection: .*CFG_INVALID\)\n +Write postgres:\/\/host:5432\/database\?user=name with `password_file`, or put `name:password@` before the host\.\n/);
  expect(stdout).not.toContain('hunter22');
});

describe('words to search for that begin with a dash', () => {
  const files = "sources: { shop: { type: postgres, url: 'postgres://u@127.0.0.1:1/d' } }\nindices: { products: { from: shop.public.products } }\n";

  test.for(['-x', '--foo'])('are options that are not known, and it is said where they may stand: %s', async (word) => {
    const result = await runCli(['search', 'products', word, 'kettle']);
    expect(result.code).toBe(64);
    expect(said(result)).toEqual([`tailrace: \`tailrace search\` knows no option \`${word}\`.`, 'Nothing was started.', '→ See `tailrace search --help`. Words that begin with `-` go behind `--`.', 'USAGE: docs/errors.md#usage']);
    expect((await runCli(['search', 'products', word])).stderr).toContain(`knows no option \`${word}\``);
  });

  test('are searched for behind `--`', async () => {
    const path = configFile('dashes.yaml', files);
    for (const words of [['--', '-x', 'kettle'], ['kettle', '--', '-x']]) expect((await runCli(['search', 'products', '--config', path, ...words])).stderr).toContain('NOT_RUNNING');
    expect(await runCli(['search', 'products', '--config', path, '--'])).toMatchObject({ code: 64, stderr: expect.stringContaining('There is no word to search for.') as unknown });
  });
});

describe('odd configs', () => {
  const source = "sources: { shop: { type: postgres, url: 'postgres://u@127.0.0.1:1/d' } }\n";
  const cases: readonly (readonly [string, string, string])[] = [
    ['empty', '', 'line 1, column 1: expected settings, as `name: value`'],
    ['a comment', '# nothing\n', 'expected settings, as `name: value`'],
    ['a list', '- a\n', 'expected settings, as `name: value`'],
    ['without any index', `${source}indices: {}\n`, 'indices: at least one index is needed'],
    ['with a quote in the name of an index', `${source}indices: { 'a"b': { from: shop.public.t } }\n`, 'indices: `a"b`: a name is lower-case letters, digits, `_` and `-`, and begins with a letter'],
    ['with an emoji for a name', `${source}indices: { 😀: { from: shop.public.t } }\n`, 'indices: `😀`: a name is lower-case letters'],
    ['with a name of 200 characters', `${source}indices: { ${'x'.repeat(200)}: { from: shop.public.t } }\n`, 'a name has at most 48 characters'],
    ['with two indices of one name', `${source}indices: { a: { from: shop.public.t }, a: { from: shop.public.t } }\n`, 'a key is given twice'],
    ['with names that a file cannot hold side by side', `${source}indices: { a: { from: shop.public.t }, a_text: { from: shop.public.t } }\n`, 'line 2, column 40: indices.a_text: the name "a_text" is taken by the index "a"'],
    ['with a name that the target keeps for itself', `${source}indices: { sqlite_x: { from: shop.public.t } }\n`, 'indices.sqlite_x: names that begin with "tailrace_" or "sqlite_" are taken'],
  ];
  test.for(cases)('are refused with their place, before anything is started: %s', async ([name, text, message]) => {
    const path = configFile(`${name.replaceAll(' ', '-')}.yaml`, text);
    const result = await runCli(['run', '--config', path]);
    expect({ code: result.code, stdout: result.stdout }).toEqual({ code: 78, stdout: '' });
    expect(said(result)[0]).toContain(message);
    expect(said(result)[1]).toBe('Nothing was started.');
    expect(result.stderr).toContain('CFG_INVALID');
  });

  test('name a table twice without harm', async () => {
    const path = configFile('twice.yaml', `${source}indices: { a: { from: shop.public.t }, b: { from: shop.public.t } }\n`);
    expect((await runCli(['status', '--config', path])).stderr).toContain('NOT_RUNNING');
  });

  test('name a data directory that cannot be made, or whose socket has too long a path: one sentence each', async () => {
    const path = configFile('places.yaml', `${source}indices: { a: { from: shop.public.t } }\n`);
    const impossible = await runCli(['run', '--config', path, '--data-directory', '/dev/null/x']);
    expect(impossible.code).toBe(78);
    expect(impossible.stderr).toContain('tailrace: The data directory /dev/null/x cannot be made: ENOTDIR.');
    expect(impossible.stderr).toContain('STATE_FORBIDDEN');
    const long = join(folder, 'y'.repeat(120));
    const tooLong = await runCli(['run', '--config', path, '--data-directory', long]);
    expect(tooLong.code).toBe(78);
    expect(said(tooLong)).toEqual([expect.stringMatching(/^tailrace: The path of the admin socket, .* has \d+ bytes; a socket's path may have 103\.$/), 'Nothing was started.', expect.stringContaining('admin: { socket:'), 'CFG_INVALID: docs/errors.md#cfg_invalid']);
    expect(existsSync(long)).toBe(false);
    expect((await runCli(['status', '--config', path, '--data-directory', long])).stderr).toContain('NOT_RUNNING');
  });
});

test('a rebuild beside a daemon that runs says to stop that first, with the command as it has to be typed', async () => {
  const path = configFile('beside.yaml', 'sources: { shop: { type: postgres, url: "postgres://u@127.0.0.1:1/d" } }\nindices: { a: { from: shop.public.t } }\n');
  const data = join(folder, 'beside');
  mkdirSync(data, { mode: 0o700 });
  using _daemon = takeLock(join(data, 'lock.db'));
  const refused = await runCli(['run', '--rebuild', 'shop', '--config', path, '--data-directory', data]);
  expect(refused.code).toBe(75);
  const options = `--config ${path} --data-directory ${data}`;
  expect(said(refused).slice(-2)).toEqual([`→ Stop that daemon first (SIGTERM; \`tailrace status ${options}\` tells its pid), then \`tailrace run --rebuild shop ${options}\`.`, 'LOCK_HELD: docs/errors.md#lock_held']);
});

test('an admin port that is taken is worth another start: ADMIN_IN_USE', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  const path = configFile('port.yaml', `sources: { shop: { type: postgres, url: "postgres://u@127.0.0.1:1/d" } }\nindices: { a: { from: shop.public.t } }\nadmin: { http: { port: ${port} } }\n`);
  const result = await runCli(['run', '--config', path, '--data-directory', join(folder, 'port')]);
  taken.close();
  expect(result.code).toBe(75);
  expect(result.stderr).toContain(`tailrace: tailrace cannot listen on 127.0.0.1:${port}: something listens there already.`);
  expect(result.stderr).toContain("ADMIN_IN_USE");
});

test.runIf(granted('/dev/full', existsSync('/dev/full')))('an answer that could not be written to its end is an error, not a short answer', async () => {
  const { stdout } = await promisify(execFile)('bash', ['-c', `"${process.execPath}" "${script}" schema 2>&1 >/dev/full; echo "status $?"`]);
  expect(stdout).toMatch(/^tailrace: Standard output cannot be written: the disk is full\. What it got is not complete\.\n/);
  expect(stdout).toMatch(/DISK_FULL.*\nstatus 74\n$/);
  const closed = await promisify(execFile)('bash', ['-c', `"${process.execPath}" "${script}" schema | head -c 1; echo "status \${PIPESTATUS[0]}"`]);
  expect(closed).toEqual({ stdout: '{status 0\n', stderr: '' });
});

test.runIf(granted('/dev/full', existsSync('/dev/full')))('so is an answer that is no', async () => {
  const path = configFile('told-nobody.yaml', "data_directory: told-nobody\nsources: { shop: { type: postgres, url: 'postgres://u@127.0.0.1:1/d' } }\nindices: { products: { from: shop.public.products } }\n");
  const check = `"${process.execPath}" "${script}" check --config "${path}"`;
  const { stdout } = await promisify(execFile)('bash', ['-c', `${check} >/dev/null; echo "status $?"; ${check} 2>&1 >/dev/full; echo "status $?"`]);
  expect(stdout).toMatch(/^status 1\ntailrace: Standard output cannot be written[^]*DISK_FULL.*\nstatus 74\n$/);
});

describe('help and schema', () => {
  test('--help lists every verb, and the help of a verb its options', async () => {
    const { code, stdout, stderr } = await runCli(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const verb of ['demo', 'init', 'check', 'run', 'status', 'lag', 'search', 'trace', 'positions', 'log', 'dlq', 'schema']) expect(stdout).toContain(`tailrace ${verb}`);
    expect((await runCli(['run', '--help'])).stdout).toMatch(/--once.*--rebuild/s);
  });

  test('--version prints the version of the package and nothing else', async () => {
    expect((await runCli(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\S*\n$/);
  });

  test('schema prints a JSON Schema with the settings of the engine and of the connectors', async () => {
    const { code, stdout } = await runCli(['schema']);
    expect(code).toBe(0);
    expect((await runCli(['schema', '--json'])).stdout).toBe(stdout);
    const schema = JSON.parse(stdout) as { properties: Record<string, unknown> };
    expect(schema.properties).toHaveProperty('shutdown_within_ms');
    expect(JSON.stringify(schema.properties['sources'])).toContain('wal_sender_timeout_ms');
    expect(JSON.stringify(schema.properties['targets'])).toContain('tokenizer');
  });
});

test('on an older Node the command ends with one clear sentence, before anything is loaded', async () => {
  const older = "data:text/javascript,Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '22.9.0' } })";
  const { code, stdout, stderr } = await runCli(['run'], { node: ['--import', older] });
  expect({ code, stdout }).toEqual({ code: 78, stdout: '' });
  expect(stderr.split('\n')[0]).toBe('tailrace: This is Node 22.9.0; tailrace needs Node 24 or later.');
});

test('shapes of JSON differ by names and kinds, not by values', () => {
  expect(shapeDifferences({ a: 1, b: [{ c: 'x' }], d: null }, { a: 2, b: [{ c: 'y' }, { c: 'z' }], d: { e: 1 } })).toEqual([]);
  expect(shapeDifferences({ a: 1, b: [{ c: 'x' }] }, { a: '1', b: [{ d: 1 }], e: 0 })).toEqual([
    '$.a: a number is documented, a string is printed',
    '$.b[0].c is documented and not printed',
    '$.b[0].d is printed and not documented',
    '$.e is printed and not documented',
  ]);
});
