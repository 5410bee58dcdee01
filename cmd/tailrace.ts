#!/usr/bin/env node
/** The command. Looks at the version of Node before anything is loaded that an older one could not even read. */

const NODE_MAJOR_MIN = 24;

if (Number.parseInt(process.versions.node, 10) < NODE_MAJOR_MIN) {
  process.stderr.write(
    `tailrace: This is Node ${process.versions.node}; tailrace needs Node ${NODE_MAJOR_MIN} or later.\n  Nothing was started.\n  → Install it, or run tailrace with one that is there: /path/to/node24 ${process.argv[1]}\n`,
  );
  // ExitCode.config, which lies in a file that this Node may not be able to load.
  process.exitCode = 78;
} else {
  const { main } = await import('./main.ts');
  await main(process.argv.slice(2));
}
