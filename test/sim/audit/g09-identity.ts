/** G9: state that belongs to one source, log or target never writes to another, and nothing is read from another either. */
import type { ErrorCode } from '../../../src/errors/catalogue.ts';
import type { SimServer } from '../source/sim-server.ts';
import type { Happening } from './coverage.ts';
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

interface Estrangement {
  readonly code: ErrorCode;
  readonly happening: Happening;
  /** Changes the server; returns what undoes that. */
  readonly estrange: (server: SimServer) => () => void;
}

const ESTRANGEMENTS: readonly Estrangement[] = [
  {
    code: 'SRC_IDENTITY_CHANGED',
    happening: 'another server was noticed',
    estrange: (server) => {
      const { identity } = server;
      server.identity = 'sim:another';
      return () => (server.identity = identity);
    },
  },
  {
    code: 'SRC_DIVERGED',
    happening: 'a server that went back was noticed',
    estrange: (server) => {
      server.restoredTo = (server.slot?.confirmed ?? 0) - 1;
      return () => (server.restoredTo = Infinity);
    },
  },
  {
    code: 'SRC_SLOT_AHEAD',
    happening: 'a slot that went ahead was noticed',
    estrange: (server) => {
      server.database.writeNoise(100);
      server.confirm(server.database.end);
      return () => {};
    },
  },
];

/** The server behind the source's url is not the one that was read from: another one, an older state of it, or somebody else has read on. */
async function auditOtherSource(world: World, stop: () => Promise<void>, pass: (ms: number) => Promise<void>): Promise<void> {
  const { findings, book, coverage } = world;
  const [server] = world.servers.values();
  if (server === undefined) return;
  const { code, happening, estrange } = world.random.fork('estrangement').pick(ESTRANGEMENTS);
  const before = book.lastSeq;
  const undo = estrange(server);
  world.workloads.get(server.name)?.step('small');
  server.committed();
  const daemon = world.startDaemon();
  await pass(LOOK_AFTER_MS);
  const status = daemon.status?.sources.find(({ name }) => name === server.name);
  findings.expect('G9', status?.phase === 'stopped' && status.error?.code === code, () => `the source was to stop with ${code}, and it is ${status?.phase} with ${status?.error?.code}`);
  if (world.servers.size === 1) findings.expect('G9', book.lastSeq === before, () => `the source stopped with ${code}, and changes of it are in the log`);
  await stop();
  undo();
  coverage.saw(happening);
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
