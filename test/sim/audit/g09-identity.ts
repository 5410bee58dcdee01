/** G9: state that belongs to one source, log or target never writes to another, and nothing is read from another either. */
import { SimDisk } from '../sim-disk.ts';
import { codeOf } from '../../../src/errors/tailrace-error.ts';
import { describeError } from '../world/daemon.ts';
import { SimMachine } from '../world/sim-machine.ts';
import type { World } from '../world/world.ts';

const LOOK_AFTER_MS = 3_000;

export async function auditIdentity(world: World, stop: () => Promise<void>, pass: (ms: number) => Promise<void>): Promise<void> {
  await stop();
  if (!world.findings.any) await auditOtherSource(world, stop, pass);
  if (!world.findings.any) await auditLostLog(world, pass);
}

/** The server behind the source's url is another one now. */
async function auditOtherSource(world: World, stop: () => Promise<void>, pass: (ms: number) => Promise<void>): Promise<void> {
  const { findings, book, coverage } = world;
  const [server] = world.servers.values();
  if (server === undefined) return;
  const { identity } = server;
  const before = book.lastSeq;
  server.identity = 'sim:another';
  world.workloads.get(server.name)?.step('small');
  server.committed();
  const daemon = world.startDaemon();
  await pass(LOOK_AFTER_MS);
  const status = daemon.status?.sources.find(({ name }) => name === server.name);
  findings.expect('G9', status?.phase === 'stopped' && status.error?.code === 'SRC_IDENTITY_CHANGED', () => `the server is another one, and the source ${status?.phase} with ${status?.error?.code}`);
  if (world.servers.size === 1) findings.expect('G9', book.lastSeq === before, () => 'the server is another one, and changes of it are in the log');
  await stop();
  server.identity = identity;
  coverage.saw('another server was noticed');
}

/** The log is gone, the state store is not. */
async function auditLostLog(world: World, pass: (ms: number) => Promise<void>): Promise<void> {
  const { findings, coverage } = world;
  const machine = new SimMachine(new SimDisk({ random: world.random.fork('new disk') }));
  machine.takeStates(world.machine);
  const daemon = world.makeDaemon(machine, { unaudited: true });
  daemon.start([]);
  await pass(LOOK_AFTER_MS);
  findings.expect('G9', daemon.ended !== null && codeOf(daemon.ended.error) === 'STATE_IDENTITY', () => `the log is gone, and the daemon ${daemon.ended === null ? 'runs' : `ended with ${describeError(daemon.ended.error)}`}`);
  coverage.saw('a lost log was noticed');
}
