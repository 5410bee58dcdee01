import { describe, expect, test } from 'vitest';
import type { TailraceConfig } from '../../src/config/definition.ts';
import { SEGMENT_BYTES_MAX as CONFIG_SEGMENT_BYTES_MAX } from '../../src/config/engine-settings.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { TailraceError } from '../../src/errors/tailrace-error.ts';
import { SEGMENT_BYTES_MAX } from '../../src/log/open.ts';
import { Secret } from '../../src/runtime/secret.ts';
import { schema } from './connectors.ts';

const environment: Record<string, string> = { SHOP_URL: 'postgres://app:pa55@db:5432/shop', LEVEL: 'debug', PORT: '9000', CREATE: 'false', FROM: 'shop.public.products', EMPTY: '', TYPE: 'postgres' };
const files: Record<string, string> = { '/etc/tailrace/token': 'tok3n\n', '/run/empty': '\n' };

function load(text: string): Promise<TailraceConfig> {
  const secrets = {
    environment: (name: string) => environment[name],
    readFile: (path: string) => (files[path] === undefined ? Promise.reject(Object.assign(new Error('gone'), { code: 'ENOENT' })) : Promise.resolve(files[path])),
  };
  return loadConfig({ text, path: '/etc/tailrace/tailrace.yaml', schema, secrets });
}

async function segmentBytes(more: string): Promise<number> {
  const { log } = await load(`${minimal}${more}`);
  return log.segment_bytes;
}

/** The problems of a config, one a line, without the head. */
async function problems(text: string): Promise<readonly string[]> {
  const error = await load(text).then(
    () => undefined,
    (reason: unknown) => reason as TailraceError,
  );
  if (error === undefined) return [];
  const [head = '', ...lines] = error.message.split('\n');
  return [error.code, ...(lines.length === 0 ? [head.replace(/^.*?: /, '').replace(/\.$/, '')] : lines.map((line) => line.trim()))];
}

const minimal = 'sources: { shop: { type: postgres, url: !env SHOP_URL } }\nindices: { products: { from: shop.public.products } }\n';

describe('a file that is no config', () => {
  test.each([
    ['account lines', 'root:$y$hidden0:19000:0:99999:7:::\nbin:hidden1:19000:0:99999:7:::\n'],
    ['loose brackets', '}hidden0: 3\n'],
    ['quoted text', 'sources: { shop: "hidden0\n'],
    ['text behind quotes', 'sources: "x" hidden0\n'],
    ['aliases', 'sources: *hidden0\n'],
    ['directives', '%hidden0 x\n---\nsources: 1\n'],
    ['escapes', 'sources: "\\xhidden0"\n'],
    ['block headers', 'sources: |hidden0\n  x\n'],
    ['tags of any length', `sources: !hidden0${'x'.repeat(40)} y\n`],
  ])('is not repeated in the message: %s', async (_, text) => {
    const found = (await problems(text)).join('\n');
    expect(found).toMatch(/^CFG_INVALID\n(?:.*line|an alias)/);
    expect(found).not.toContain('hidden');
  });
});

describe('a config file', () => {
  test('of two lines is complete', async () => {
    const config = await load(`# yaml-language-server: $schema=./tailrace.schema.json\n${minimal}`);
    expect(config.sources).toMatchObject([{ name: 'shop', type: 'postgres', settings: { create: true } }]);
    expect(config.targets).toMatchObject([{ name: 'embedded', type: 'sqlite', settings: { type: 'sqlite' } }]);
    expect(config.indices).toMatchObject([{ name: 'products', to: 'embedded', from: { source: 'shop', table: 'public.products' }, on_error: 'dead_letter', batch: { max_operations: 1000 } }]);
    expect(config.data_directory).toBe('/etc/tailrace/tailrace-data');
    const url = config.sources[0]?.settings['url'];
    expect(url instanceof Secret && url.reveal()).toBe('postgres://app:pa55@db:5432/shop');
  });

  test('gives an index the only target there is', async () => {
    const config = await load(`${minimal}targets: { search: { type: sqlite, path: /var/search.db } }\nadmin: { socket: run/admin.sock, http: {} }\n`);
    expect(config.indices[0]?.to).toBe('search');
    expect(config.admin).toMatchObject({ socket: '/etc/tailrace/run/admin.sock', http: { host: '127.0.0.1', port: 7373 } });
  });

  test('takes references wherever a single value stands, and makes plain text of them where nothing is secret', async () => {
    const config = await load(`
sources: { shop: { type: !env TYPE, url: !env SHOP_URL, create: !env CREATE } }
indices: { products: { from: !env FROM } }
logging: { level: !env LEVEL }
admin: { http: { port: !env PORT, host: 0.0.0.0, token: !file token } }
`);
    expect(config).toMatchObject({ sources: [{ type: 'postgres', settings: { create: false } }], indices: [{ from: { table: 'public.products' } }], logging: { level: 'debug' }, admin: { http: { port: 9000 } } });
    expect(config.admin.http?.token?.reveal()).toBe('tok3n');
  });

  test('takes fields as a list, as names, renamed, left out and computed', async () => {
    const fields = async (yaml: string): Promise<unknown> => (await load(`${minimal.replace('shop.public.products', `shop.public.products, fields: ${yaml}`)}`)).indices[0]?.fields;
    expect(await fields('[id, name]')).toEqual([
      { kind: 'column', name: 'id', column: 'id' },
      { kind: 'column', name: 'name', column: 'name' },
    ]);
    expect(await fields('{ id: true, title: name, "*": true, secret: false, gross: { expression: price * 2 } }')).toEqual([
      { kind: 'column', name: 'id', column: 'id' },
      { kind: 'column', name: 'title', column: 'name' },
      { kind: 'all' },
      { kind: 'omit', name: 'secret' },
      { kind: 'expression', name: 'gross', expression: 'price * 2' },
    ]);
    expect(await fields('{ secret: false }')).toEqual([{ kind: 'all' }, { kind: 'omit', name: 'secret' }]);
  });

  test('that is wrong in many places tells all of them, in order, with lines and what was meant', async () => {
    const text = `
sources:
  shop: { type: postgres, url: !env SHOP_URL, slott: x }
  Other: { type: postgres, url: x }
  third: { type: postgre }
  fourth: { type: postgres }
  fifth: { url: x }
targets:
  search: { type: sqlite, text: { tokenizer: portr } }
  more: { type: sqlite, pth: x }
indices:
  products: { from: shp.public.products, to: serch, fields: { a: 5, b: { expresion: x } }, on_error: dead_leter }
  products2: { from: shop.products, batch: { max_operations: 0 }, to: search }
  third-g0001: { from: shop.a.b, to: search }
  fourth: { from: shop.a.c, key: [id, id] }
  fifth: { to: search, from: shop.a.d, where: 5, fields: { "*": false } }
log: { segment_bytes: 134217728, max_bytes: 134217728, min_age_hours: x }
admin: { http: { host: 0.0.0.0 } }
lgo: 3
`;
    expect(await problems(text)).toMatchInlineSnapshot(`
      [
        "CFG_INVALID",
        "line 3, column 47: sources.shop: \`slott\` is not known here; did you mean \`slot\`?",
        "line 4, column 3: sources: \`Other\`: a name is lower-case letters, digits, \`_\` and \`-\`, and begins with a letter",
        "line 5, column 18: sources.third.type: expected \`postgres\`; did you mean \`postgres\`?",
        "line 6, column 11: sources.fourth.url: expected text, \`!env NAME\` or \`!file PATH\`",
        "line 7, column 10: sources.fifth.type: is required: \`postgres\`",
        "line 9, column 46: targets.search.text.tokenizer: expected \`unicode61\` or \`porter\` or \`trigram\`; did you mean \`porter\`?",
        "line 10, column 25: targets.more: \`pth\` is not known here; did you mean \`path\`?",
        "line 12, column 21: indices.products.from: there is no such source; did you mean \`shop\`?",
        "line 12, column 46: indices.products.to: there is no such target; did you mean \`search\`?",
        "line 12, column 66: indices.products.fields.a: expected \`true\` or \`false\` or text or settings, found a number",
        "line 12, column 72: indices.products.fields.b.expression: is required",
        "line 12, column 74: indices.products.fields.b: \`expresion\` is not known here; did you mean \`expression\`?",
        "line 12, column 102: indices.products.on_error: expected \`dead_letter\` or \`stop\`; did you mean \`dead_letter\`?",
        "line 13, column 22: indices.products2.from: expected \`source.schema.table\`",
        "line 13, column 62: indices.products2.batch.max_operations: too small: expected number to be >=1",
        "line 14, column 3: indices: \`third-g0001\`: a name that ends like \`-g0001\` is kept for generations of an index",
        "line 15, column 11: indices.fourth.to: is required, because there are several targets: search, more",
        "line 15, column 34: indices.fourth.key: a column is listed twice",
        "line 16, column 47: indices.fifth.where: expected text, found a number",
        "line 16, column 65: indices.fifth.fields.*: expected \`true\`",
        "and 3 more",
      ]
    `);
  });

  test('refuses what an index says to a target that takes none of it, or takes it otherwise, with the place in the file', async () => {
    const text = `sources: { shop: { type: postgres, url: x } }
targets:
  search: { type: opensearch, url: http://localhost:9200 }
  file: { type: sqlite }
indices:
  a: { from: shop.public.a, to: file, mapping: { name: { type: text } } }
  b: { from: shop.public.b, to: search, mapping: { name: text }, settings: { gc_deletes: 1h, dynamic: sometimes } }
  c: { from: shop.public.c, to: search, mapping: { name: { type: keyword } }, settings: { number_of_shards: 2 } }
`;
    expect(await problems(text)).toMatchInlineSnapshot(`
      [
        "CFG_INVALID",
        "line 6, column 39: indices.a: \`mapping\` means nothing to the target \`file\`: targets of type \`sqlite\` take none",
        "line 7, column 58: indices.b.mapping.name: expected settings, found text",
        "line 7, column 76: indices.b.settings: \`gc_deletes\` is kept by tailrace: deletes are remembered with it",
        "line 7, column 103: indices.b.settings.dynamic: \`dynamic\` is \`strict\`, \`true\` or \`false\`",
      ]
    `);
    const config = await load(text.replace(/^  [ab]:.*\n/gm, ''));
    expect(config.indices[0]).toMatchObject({ name: 'c', mapping: { name: { type: 'keyword' } }, settings: { number_of_shards: 2 }, rollback_hours: 24 });
  });

  test('refuses indices of one table that tell its rows apart by other columns', async () => {
    const of = (second: string): string => `sources: { shop: { type: postgres, url: x } }\nindices:\n  a: { from: shop.public.t, key: [id, tenant] }\n  b: { from: ${second} }\n`;
    const refused = 'line 4, column NN: indices.b.key: differs from that of the index `a`, which is made from the same table: give both the same `key`, in the same order';
    const found = async (second: string): Promise<string[]> => (await problems(of(second))).map((line) => line.replace(/column \d+/, 'column NN'));
    expect(await found('shop.public.t, key: [tenant, id]')).toEqual(['CFG_INVALID', refused]);
    expect(await found('shop.public.t')).toEqual(['CFG_INVALID', refused]);
    expect(await found('shop."public".t, key: [id]')).toEqual(['CFG_INVALID', refused]);
    expect(await found('shop.public.t, key: [id, tenant]')).toEqual([]);
    expect(await found('shop.public.u, key: [id]')).toEqual([]);
  });

  test('has the files that it names in its own folder, wherever tailrace is started', async () => {
    const { sources } = await load('sources:\n  shop: { type: postgres, url: x, password_file: secrets/pw, tls: { ca: ../ca.pem, cert: /abs/cert.pem, key: !env LEVEL } }\nindices: { products: { from: shop.public.products } }\n');
    expect(sources[0]?.settings).toMatchObject({ password_file: '/etc/tailrace/secrets/pw', tls: { ca: '/etc/ca.pem', cert: '/abs/cert.pem', key: '/etc/tailrace/debug' } });
    expect(sources[0]?.settings['url'] instanceof Secret).toBe(true);
  });

  test('refuses what YAML would let pass: keys given twice, unknown tags, names that vanish', async () => {
    expect(await problems('a: 1\nb: 2\na: 3\n')).toEqual(['CFG_INVALID', 'line 3, column 1: a key is given twice']);
    expect(await problems(`${minimal}x: !secret y\n`)).toEqual(['CFG_INVALID', 'line 3, column 4: unresolved tag: !secret']);
    expect(await problems(`${minimal}x: !env\n`)).toEqual(['CFG_INVALID', 'line 3, column 4: `!env` is followed by a name']);
    expect(await problems(`${minimal}x: !env {a: b}\n`)).toEqual(['CFG_INVALID', expect.stringMatching(/^line 3, column 4: unresolved tag/)]);
    expect(await problems('')).toEqual(['CFG_INVALID', 'line 1, column 1: expected settings, as `name: value`']);
    expect(await problems('- a\n')).toEqual(['CFG_INVALID', 'line 1, column 1: expected settings, as `name: value`']);
    expect(await problems('sources: [\n')).toEqual(['CFG_INVALID', expect.stringMatching(/^line 2, column 1: flow sequence/)]);
    expect(await problems(minimal.replace('shop.public.products', 'shop.public.products, fields: { __proto__: id }'))).toEqual(['CFG_INVALID', 'line 2, column 60: indices.products.fields: `__proto__` cannot be a name here']);
    expect(await problems('sources: {}\nindices: {}\n')).toEqual(['CFG_INVALID', 'line 1, column 10: sources: at least one source is needed', 'line 2, column 10: indices: at least one index is needed']);
    expect(await problems('a: &a [1]\nb: *c\n')).toEqual(['CFG_INVALID', expect.stringContaining('an alias')]);
  });

  test('needs a token to listen beyond the machine, and a log that has room for four of its files', async () => {
    for (const host of ['127.0.0.1', 'localhost', '"::1"', '127.8.0.1']) expect(await problems(`${minimal}admin: { http: { host: ${host} } }\n`)).toEqual([]);
    for (const host of ['0.0.0.0', '"::"', '10.0.0.1', 'example.org']) expect(await problems(`${minimal}admin: { http: { host: ${host} } }\n`)).toEqual(['CFG_INVALID', 'line 3, column 16: admin.http.token: is required when `host` is no loopback address']);
    expect(await segmentBytes('')).toBe(128 * 2 ** 20);
    expect(await segmentBytes('log: { max_bytes: 200000000 }\n')).toBe(50_000_000);
    expect(await problems(`${minimal}log: { max_bytes: 200000000, segment_bytes: 50000001 }\n`)).toEqual(['CFG_INVALID', 'line 3, column 45: log.segment_bytes: may be 50000000 at most, a quarter of `max_bytes`: only whole files are removed']);
    expect(await problems(`${minimal}log: { max_bytes: 200000000, segment_bytes: 50000000 }\n`)).toEqual([]);
    expect(await problems(`${minimal}log: { segment_bytes: 3221225473 }\n`)).toEqual(['CFG_INVALID', expect.stringContaining('log.segment_bytes: too big: expected number to be <=3221225472')]);
  });

  test('lets the files of the log be as large as they can be', () => {
    expect(CONFIG_SEGMENT_BYTES_MAX).toBe(SEGMENT_BYTES_MAX);
  });

  test('names all secrets that are missing, and where they were asked for', async () => {
    expect(await problems('sources: { shop: { type: postgres, url: !env NOPE } }\nindices: { products: { from: !env EMPTY } }\nadmin: { http: { token: !file /run/nope } }\nx: !file /run/empty\n')).toEqual([
      'CFG_SECRET_MISSING',
      'line 1, column 46: sources.shop.url: the environment variable NOPE is not set',
      'line 2, column 35: indices.products.from: the environment variable EMPTY is empty',
      'line 3, column 31: admin.http.token: the file /run/nope cannot be read (ENOENT)',
      'line 4, column 10: x: the file /run/empty is empty',
    ]);
  });

  test('never shows a secret in a message, whatever is wrong with it', async () => {
    environment['LEAK'] = 'hunter2';
    const texts = [`${minimal}logging: { level: !env LEAK, format: !env LEAK }\nready_within_ms: !env LEAK\n`, minimal.replace('shop.public.products', '!env LEAK'), `sources: !env LEAK\nindices: { products: { from: shop.a.b, fields: !env LEAK, to: !env LEAK } }\n`, minimal.replace('postgres', '!env LEAK')];
    for (const text of texts) {
      const shown = await problems(text);
      expect(shown[0]).toBe('CFG_INVALID');
      expect(shown.join('\n')).not.toContain('hunter2');
    }
  });
});
