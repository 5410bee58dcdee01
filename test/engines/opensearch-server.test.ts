/** The servers that tests run on are real, of the version that they say, and can be stopped, killed and started again without losing anything. */
import { statSync } from 'node:fs';
import { expect, test } from 'vitest';
import { allVersions, describeOpenSearch } from './opensearch.ts';
import { serverAccount } from './servers.ts';

describeOpenSearch(allVersions, ({ version, server }) => {
  test('a node answers with its version, and runs under an account that is not root', async () => {
    const node = await server();
    const { nodes } = (await node.ask('GET', '/_nodes/_local?filter_path=nodes.*.version')) as { nodes: Record<string, { version: string }> };
    expect(Object.values(nodes).map((one) => one.version)).toEqual([version]);
    const uid = serverAccount()?.uid ?? process.getuid?.();
    expect(uid).not.toBe(0);
    if (process.platform === 'linux') expect(statSync(`/proc/${node.pid}`).uid).toBe(uid);
  });

  test('what a node confirmed is there after SIGKILL, on the same port, with its external version', async () => {
    const node = await server();
    await node.ask('PUT', '/kept', { settings: { number_of_replicas: 0 } });
    await node.ask('PUT', '/kept/_doc/a?version_type=external&version=9007199254740993', { n: 1 });
    const before = node.pid;
    node.kill('SIGKILL');
    await node.ended();
    await expect(node.request('GET', '/')).rejects.toThrow();
    await node.start();
    expect(node.pid).not.toBe(before);
    // Beyond 2^53, so as text.
    const answer = await fetch(`${node.url}/kept/_doc/a`);
    expect(await answer.text()).toContain('"_version":9007199254740993');
    await node.clear();
    expect((await node.request('GET', '/kept')).status).toBe(404);
  });
});
