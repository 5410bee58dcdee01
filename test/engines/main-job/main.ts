/**
 * `node test/engines/main-job/main.ts [--major 18] [--synsets 200000] [--operations 50000] [--kills 10] [--seed 1]`
 * runs the main job at full size and exits 0 only when every row is right.
 */
import { parseArgs } from 'node:util';
import { isEqual, runMainJob } from './run.ts';

const { values } = parseArgs({
  options: {
    major: { type: 'string', default: '18' },
    synsets: { type: 'string', default: '200000' },
    operations: { type: 'string', default: '50000' },
    kills: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
  },
});

const result = await runMainJob({
  major: values.major === '15' ? 15 : 18,
  synsets: Number(values.synsets),
  operations: Number(values.operations),
  kills: Number(values.kills),
  seed: Number(values.seed),
  print: (line) => console.log(line),
});
for (const name of ['movies', 'synsets'] as const) {
  const { rows, documents, missing, extra, different } = result[name];
  console.log(`${name}: ${rows} rows, ${documents} documents, ${missing.length} missing, ${extra.length} extra, ${different.length} different`);
  for (const id of [...missing, ...extra, ...different].slice(0, 10)) console.log(`  ${id}`);
}
console.log(`${result.kills} kills, ${result.seconds.toFixed(1)} s`);
if (!isEqual(result.movies) || !isEqual(result.synsets)) process.exitCode = 1;
