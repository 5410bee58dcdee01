/**
 * `node test/engines/main-job/main.ts [--target opensearch] [--way 'half and half with kills'] [--major 18] [--synsets 200000] [--operations 50000]
 * [--kills 10] [--seed 1]` runs the main job at full size and exits 0 only when every row is right.
 */
import { parseArgs } from 'node:util';
import { ways } from '../four-ways.ts';
import { openSearchPlace } from '../index-place.ts';
import { startOpenSearch } from '../opensearch.ts';
import { isEqual } from './compare.ts';
import { runMainJob } from './run.ts';

const { values } = parseArgs({
  options: {
    target: { type: 'string', default: 'sqlite' },
    way: { type: 'string', default: 'half and half with kills' },
    major: { type: 'string', default: '18' },
    synsets: { type: 'string', default: '200000' },
    operations: { type: 'string', default: '50000' },
    kills: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
  },
});

const way = ways.find((one) => one === values.way);
if (way === undefined) throw new Error(`--way is one of: ${ways.join(', ')}`);
if (values.target !== 'sqlite' && values.target !== 'opensearch') throw new Error('--target is sqlite or opensearch');

await using node = values.target === 'opensearch' ? await startOpenSearch({ version: '3.6.0' }) : undefined;
const result = await runMainJob({
  major: values.major === '15' ? 15 : 18,
  way,
  ...(node === undefined ? {} : { place: openSearchPlace(node, { settings: '' }) }),
  synsets: Number(values.synsets),
  operations: Number(values.operations),
  kills: Number(values.kills),
  seed: Number(values.seed),
  print: (line) => console.log(line),
});
for (const name of ['movies', 'synsets'] as const) {
  const { rows, documents, missing, extra, different, doubled } = result[name];
  console.log(`${name}: ${rows} rows, ${documents} documents, ${missing.length} missing, ${extra.length} extra, ${different.length} different, ${doubled.length} doubled`);
  for (const id of [...missing, ...extra, ...different, ...doubled].slice(0, 10)) console.log(`  ${id}`);
}
console.log(`${result.kills} kills, ${result.seconds.toFixed(1)} s`);
if (!isEqual(result.movies) || !isEqual(result.synsets)) process.exitCode = 1;
