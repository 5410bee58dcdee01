/** The OpenSearch target keeps the target contract, on real servers of every version that is supported. */
import { targetContract } from '../contract/target.ts';
import { connect } from './opensearch-connect.ts';
import { allVersions, describeOpenSearch, titleOf } from './opensearch.ts';

/** Each step is a request here, so fewer of them than in a file. */
const SEEDS = 2;
const KILLS = 6;

describeOpenSearch(allVersions, ({ version, server }) => {
  targetContract(`the OpenSearch target on ${titleOf(version)}`, async () => {
    const node = await server();
    await node.clear();
    return {
      connect: () => connect(node.url),
      // The mapping is strict, and has no such field.
      poison: (id, operation) => ({ kind: 'put', id, version: operation, document: JSON.stringify({ id, undeclared: 1 }) }),
      idBytesMax: 512,
      changedField: { before: { name: 'size', kind: 'int' }, after: { name: 'size', kind: 'text' } },
      process: { module: new URL('./opensearch-connect.ts', import.meta.url).href, argument: node.url, kills: KILLS },
      [Symbol.asyncDispose]: async () => {},
    };
  }, { seeds: SEEDS });
});
