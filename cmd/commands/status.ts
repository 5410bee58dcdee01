/** `tailrace status`: is it in step, what is wrong, what to do now. */
import { ExitCode } from '../../src/errors/policy.ts';
import { configOptions, jsonOption } from '../options.ts';
import { statusScreen } from '../screens/status-screen.ts';
import { withOptionsOf } from '../terminal/given-options.ts';
import { standardOutput } from '../terminal/output.ts';
import { defineVerb } from '../verb.ts';

export const statusVerb = defineVerb({
  command: 'status',
  describe: 'Show sources, change log and indices on one screen; exits with 1 when the daemon does not run',
  options: { ...configOptions, ...jsonOption },
  run: async (args) => {
    const [{ readConfig }, { openReading }] = await Promise.all([import('../config-file.ts'), import('../daemon/reading.ts')]);
    const { config } = await readConfig(args);
    await using reading = await openReading(config);
    const status = await reading.status();
    if (args.json) standardOutput.write(`${JSON.stringify(status)}\n`);
    else standardOutput.lines(statusScreen(status, standardOutput.paint, withOptionsOf(process.argv.slice(2))));
    return status.running ? ExitCode.ok : ExitCode.no;
  },
});
