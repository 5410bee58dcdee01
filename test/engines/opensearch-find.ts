/**
 * Where tests get a real OpenSearch or Elasticsearch from, in this order: a URL in the environment, a folder named there, Docker, a private copy
 * from packages. CONTRIBUTING.md says the same to people.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { javaHome, type JavaRange } from './java.ts';
import { mavenFolder } from './maven.ts';
import { dialects, type OpenSearchServer, type OpenSearchVersion } from './opensearch-client.ts';
import type { OpenSearchPrograms } from './opensearch-process.ts';
import { openSearchAt } from './opensearch-url.ts';
import { EngineMissing } from './servers.ts';

export type OpenSearchPlace =
  | { readonly kind: 'url'; readonly server: OpenSearchServer }
  | { readonly kind: 'programs'; readonly programs: OpenSearchPrograms }
  | { readonly kind: 'container' }
  | { readonly kind: 'missing'; readonly reason: string };

interface Distribution {
  readonly group: string;
  /** Of the zip that is published for integration tests: the server with its standard modules, or only its core, without a Java. */
  readonly integrity: string;
  readonly java: JavaRange;
}

const distributions: Readonly<Record<OpenSearchVersion, Distribution>> = {
  '3.6.0': {
    group: 'org.opensearch.distribution.integ-test-zip',
    integrity: 'sha512-uCBmqXkCh5xH4mYIhI0GjAnnTSEo7e4oAuYihnq9RR00o2asxlGdC0D8l6zInWHFuzMKuLIIbPb/oPn+S5rKpA==',
    java: { min: 21, max: 25 },
  },
  '2.19.5': {
    group: 'org.opensearch.distribution.integ-test-zip',
    integrity: 'sha512-sXn7RQT4rZN1v3xOsvwyznrw5qhyGyAkUzGGB6Qg77egOvre4813Cyzq3L+Eekb2gK+v2k3rQBSRnyTok13zig==',
    // It needs the security manager, which Java has no more since 24.
    java: { min: 11, max: 23 },
  },
  '9.2.0': {
    group: 'org.elasticsearch.distribution.integ-test-zip',
    integrity: 'sha512-LGJOkTu4cS+xaY/BqzokHIaCKBg/CJ/zzeF617x7WpZjRUwq+TnGXgdWY4JjcePUNE3KQ6VaiquVlPmmSwHSxw==',
    java: { min: 21, max: 25 },
  },
};

/** `TAILRACE_TEST_OPENSEARCH_3_URL`, `TAILRACE_TEST_ELASTICSEARCH_9_HOME`. */
function variable(version: OpenSearchVersion, what: 'URL' | 'HOME'): string {
  return `TAILRACE_TEST_${dialects[version].toUpperCase()}_${version.split('.')[0]}_${what}`;
}

export async function findOpenSearch(version: OpenSearchVersion): Promise<OpenSearchPlace> {
  const { group, integrity, java } = distributions[version];
  const artifact = dialects[version];
  try {
    const url = process.env[variable(version, 'URL')];
    if (url !== undefined) return { kind: 'url', server: await openSearchAt(url, version) };
    const home = process.env[variable(version, 'HOME')];
    if (home !== undefined && !existsSync(join(home, 'bin', artifact))) throw new EngineMissing(`${variable(version, 'HOME')} names no folder with bin/${artifact}`);
    if (home !== undefined) return { kind: 'programs', programs: { home, java: javaHome(java) } };
    // Loaded only when it is needed: the container library is large.
    const { containersAvailable } = await import('./postgres-container.ts');
    if (await containersAvailable()) return { kind: 'container' };
    return { kind: 'programs', programs: { home: mavenFolder({ group, artifact, version, integrity }), java: javaHome(java) } };
  } catch (error) {
    if (error instanceof EngineMissing) return { kind: 'missing', reason: error.message };
    throw error;
  }
}
