/** The verbs of the command line, in the order in which `--help` lists them. */
import { checkVerb } from './commands/check.ts';
import { demoVerb } from './commands/demo.ts';
import { dlqVerb } from './commands/dlq.ts';
import { generationsVerb } from './commands/generations.ts';
import { initVerb } from './commands/init.ts';
import { lagVerb } from './commands/lag.ts';
import { logVerb } from './commands/log.ts';
import { planVerb } from './commands/plan.ts';
import { positionsVerb } from './commands/positions.ts';
import { resyncVerb } from './commands/resync.ts';
import { runVerb } from './commands/run.ts';
import { schemaVerb } from './commands/schema.ts';
import { searchVerb } from './commands/search.ts';
import { statusVerb } from './commands/status.ts';
import { traceVerb } from './commands/trace.ts';
import { verifyVerb } from './commands/verify.ts';
import type { Verb } from './verb.ts';

export const verbs: readonly Verb[] = [demoVerb, initVerb, checkVerb, planVerb, runVerb, statusVerb, lagVerb, searchVerb, traceVerb, positionsVerb, logVerb, dlqVerb, verifyVerb, resyncVerb, generationsVerb, schemaVerb];
