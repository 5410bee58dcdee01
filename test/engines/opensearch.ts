/** Real OpenSearch and Elasticsearch nodes for tests: one for a test, or one for a suite that runs once per version. */
import { afterAll, describe, test } from 'vitest';
import { titleOf, type OpenSearchServer, type OpenSearchVersion } from './opensearch-client.ts';
import { findOpenSearch, type OpenSearchPlace } from './opensearch-find.ts';
import { startOpenSearchProcess } from './opensearch-process.ts';
import { enginesRequired } from '../requirement.ts';
import { EngineMissing } from './servers.ts';

export { titleOf } from './opensearch-client.ts';
export type { Answer, OpenSearchDialect, OpenSearchServer, OpenSearchVersion } from './opensearch-client.ts';

export interface OpenSearchOptions {
  readonly version: OpenSearchVersion;
  /** Node settings beside those that every test node has. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Every version that is supported, the newest OpenSearch first. */
export const allVersions: readonly OpenSearchVersion[] = ['3.6.0', '2.19.5', '9.2.0'];

/** A node that is first needed inside a test may have to be waited for this long: give it to `beforeAll`. */
export const startTimeoutMs = 180_000;

/** Looked for when first needed: getting one may take a download. */
const places = new Map<OpenSearchVersion, Promise<OpenSearchPlace>>();

async function placeOf(version: OpenSearchVersion): Promise<OpenSearchPlace> {
  const known = places.get(version);
  if (known !== undefined) return await known;
  const place = findOpenSearch(version);
  places.set(version, place);
  return await place;
}

/** Starts a node for the caller, or throws `EngineMissing`. Only a server that a URL names is shared with others. */
export async function startOpenSearch({ version, settings = {} }: OpenSearchOptions): Promise<OpenSearchServer> {
  const place = await placeOf(version);
  if (place.kind === 'missing') throw new EngineMissing(place.reason);
  if (place.kind === 'container') {
    const { startOpenSearchContainer } = await import('./opensearch-container.ts');
    return await startOpenSearchContainer(version, settings);
  }
  if (place.kind === 'programs') return await startOpenSearchProcess(version, place.programs, settings);
  if (Object.keys(settings).length > 0) throw new EngineMissing(`the ${titleOf(version)} is named by URL, and this test needs one with settings of its own`);
  return place.server;
}

export interface OpenSearchSuite {
  readonly version: OpenSearchVersion;
  /** The suite's one node: started at the first call, removed after the last test. */
  readonly server: () => Promise<OpenSearchServer>;
}

/**
 * Runs `suite` once for each version, each in a `describe` of its own with a node of its own; a version that is not there is skipped with its
 * reason. `TAILRACE_TEST_OPENSEARCH_VERSIONS=3.6.0,9.2.0` runs every suite on those versions instead of its own.
 */
export function describeOpenSearch(versions: readonly OpenSearchVersion[], suite: (openSearch: OpenSearchSuite) => void, settings: Readonly<Record<string, string>> = {}): void {
  for (const version of versionsNamed() ?? versions) {
    const title = titleOf(version);
    describe(title, async () => {
      const place = await placeOf(version);
      if (place.kind !== 'missing') suite(sharedServer({ version, settings }));
      else if (enginesRequired()) test('is there', () => Promise.reject(new EngineMissing(place.reason)));
      else {
        console.warn(`skipped: ${title}: ${place.reason}`);
        describe.skip(place.reason, () => suite(sharedServer({ version, settings })));
      }
    });
  }
}

function versionsNamed(): readonly OpenSearchVersion[] | undefined {
  const named = process.env['TAILRACE_TEST_OPENSEARCH_VERSIONS'];
  return named?.split(',').map((text) => {
    const version = allVersions.find((known) => known === text.trim());
    if (version === undefined) throw new Error(`TAILRACE_TEST_OPENSEARCH_VERSIONS names ${text}, which is none of ${allVersions.join(', ')}`);
    return version;
  });
}

function sharedServer(options: OpenSearchOptions): OpenSearchSuite {
  let started: Promise<OpenSearchServer> | undefined;
  afterAll(async () => {
    await (await started)?.[Symbol.asyncDispose]();
  });
  return { version: options.version, server: () => (started ??= startOpenSearch(options)) };
}
