/** Test suites: `unit` needs nothing, `sim` runs the simulator, `engines` needs real servers (see test/engines). */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/{change,errors,runtime,log,state,capture,document,apply,verify,pipeline,config,observe,connectors,cmd,docs}/**/*.test.ts'] } },
      { test: { name: 'sim', include: ['test/sim/**/*.test.ts'], testTimeout: 600_000 } },
      { test: { name: 'engines', include: ['test/engines/**/*.test.ts', 'test/chaos/**/*.test.ts'], testTimeout: 180_000, hookTimeout: 180_000, maxWorkers: 2 } },
    ],
  },
});
