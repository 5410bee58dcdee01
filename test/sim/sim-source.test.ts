/** The simulator's source keeps the contract that real sources keep: what runs find with it, they find of the engine. */
import { sourceContract } from '../contract/source.ts';
import { SimFixture } from './source/sim-fixture.ts';

const flavors = [
  { ranges: 'places', position: 'record', pieceMessagesMax: 5, heartbeatEveryMs: 100 },
  { ranges: 'keys', position: 'end', pieceMessagesMax: 40, heartbeatEveryMs: 1_000 },
] as const;

for (const [seed, flavor] of flavors.entries()) sourceContract(`the simulated source (${flavor.ranges}, ${flavor.position})`, async () => new SimFixture(seed, flavor));
