/** How tests, and the processes that they kill, come to an OpenSearch target. */
import { openSearchTarget } from '../../connectors/targets/opensearch/index.ts';
import type { Target } from '../../src/connector/target.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';

/** So that a test need not wait a second for every look. */
const quick = { refresh_interval: '100ms' } as const;

/** `settings`: of the target, beside type and url. */
export async function connect(url: string, settings: Readonly<Record<string, unknown>> = {}): Promise<Target> {
  const config = openSearchTarget.configSchema.parse({ type: 'opensearch', url, ...quick, ...settings });
  return openSearchTarget.create(config, { name: 'search', runtime: nodeRuntime(silentLogger), dataDirectory: '' });
}
