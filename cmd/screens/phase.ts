/** Words that screens share: a phase in its colour, an error with what mends it. */
import type { IndexStatus, SourceStatus, StatusError } from '../../src/pipeline/status.ts';
import { typedText } from '../terminal/given-options.ts';
import { printable } from '../terminal/printable.ts';
import type { Colour, Paint } from '../terminal/table.ts';

type Phase = SourceStatus['phase'] | IndexStatus['phase'];

const colours: Readonly<Record<Phase, Colour>> = { streaming: 'green', serving: 'green', building: 'cyan', connecting: 'cyan', opening: 'cyan', waiting: 'yellow', stopped: 'red' };

/** A dash while no daemon runs that would know. */
export function phaseText(phase: Phase | null, paint: Paint): string {
  return phase === null ? '-' : paint(colours[phase], phase);
}

/** Lines below a row of a table. */
export function errorBelow(name: string, error: StatusError | null, paint: Paint): string[] {
  if (error === null) return [];
  return [`  ${paint('red', '!')} ${name}: ${printable(error.message)} ${paint('dim', `(${error.code})`)}`, `    ${printable(error.did)}`, `    ${paint('cyan', '→')} ${printable(typedText(error.hint))}`];
}
