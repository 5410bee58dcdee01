import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadTransform } from '../../src/document/transform.ts';

const loader = {
  readText: (path: string) => readFile(path, 'utf8'),
  importModule: (path: string): Promise<unknown> => import(pathToFileURL(path).href),
};

let folder: string;
let files = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tailrace-transform-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function load(text: string) {
  files += 1;
  const file = join(folder, `transform-${files}.ts`);
  await writeFile(file, text);
  return loadTransform(`transform-${files}.ts`, file, loader);
}

describe('a transform module', () => {
  test('is TypeScript with an exported function `transform`', async () => {
    const transform = await load('export function transform(document: Record<string, unknown>): unknown { return { ...document, loud: String(document.name).toUpperCase() }; }');
    expect(transform.apply({ name: 'desk' }, { index: 'i', source: 's', table: 't' })).toEqual({ name: 'desk', loud: 'DESK' });
  });

  test('is told apart from another by its text', async () => {
    const [one, same, other] = [await load('export const transform = () => null;'), await load('export const transform = () => null;'), await load('export const transform = () => null; //')];
    expect(one.contentHash).toMatch(/^[0-9a-f]{64}$/);
    expect(same.contentHash).toBe(one.contentHash);
    expect(other.contentHash).not.toBe(one.contentHash);
  });

  test('that is missing, broken, empty or async is refused before anything starts', async () => {
    const refusal = (message: RegExp): unknown => expect.objectContaining({ code: 'CFG_TRANSFORM', message: expect.stringMatching(message) as string });
    await expect(loadTransform('gone.ts', join(folder, 'gone.ts'), loader)).rejects.toEqual(refusal(/^The module gone\.ts cannot be loaded: ENOENT/));
    await expect(load('throw new Error("at import");')).rejects.toEqual(refusal(/cannot be loaded: at import\.$/));
    await expect(load('export const transforms = 1;')).rejects.toEqual(refusal(/has no exported function `transform`\.$/));
    await expect(load('export const transform = {};')).rejects.toEqual(refusal(/has no exported function `transform`\.$/));
    await expect(load('export async function transform() { return {}; }')).rejects.toEqual(refusal(/is async/));
  });
});
