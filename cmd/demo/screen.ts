/** What the demo prints: steps with their time as they are done, results as they are found; with `--json`, one line at the end and nothing before it. */
import { relative } from 'node:path';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { watchProgress } from '../daemon/watch-progress.ts';
import { documentText, parseDocument } from '../screens/hits.ts';
import { standardError, standardOutput } from '../terminal/output.ts';
import { ProgressBars, progressText } from '../terminal/progress.ts';
import { count, rate } from '../terminal/units.ts';

/** The last line of `--json`: everything in it was measured or read in this run. */
export interface DemoResult {
  /** Documents that the snapshot brought into the indices. */
  readonly rows: number;
  /** From the start of the pipeline until all of them were searchable. */
  readonly snapshot_ms: number;
  readonly query: string;
  /** The best hit's document as it is stored, JSON text, before and after the change. */
  readonly before: string;
  readonly sql: string;
  readonly after: string;
  /** From when COMMIT had returned until a search found the changed document. */
  readonly commit_to_searchable_ms: number;
  readonly postgres_version: string;
  readonly total_ms: number;
}

const LABEL_WIDTH = 56;
const BARS_EVERY_MS = 50;
const LINES_EVERY_MS = 2_000;

const { paint } = standardOutput;

export class DemoScreen {
  readonly #json: boolean;
  readonly #bars: ProgressBars | null;

  constructor(json: boolean) {
    this.#json = json;
    this.#bars = !json && standardOutput.isTerminal ? new ProgressBars(standardOutput, process.stdout) : null;
  }

  say(line: string): void {
    if (this.#json) return;
    if (this.#bars === null) standardOutput.lines([line]);
    else this.#bars.above(`${line}\n`);
  }

  /** A log line of the pipeline: only warnings and errors come here. */
  logLine(line: string): void {
    if (this.#bars === null) standardError.write(line);
    else this.#bars.above(line);
  }

  clear(): void {
    this.#bars?.clear();
  }

  title(): void {
    this.say(`${paint('bold', 'tailrace demo')}: a real database, a search index beside it, and a change on its way from one to the other.\n`);
  }

  /** Does something and says what came of it, with the time it took. */
  async step<T>(doing: string, work: () => Promise<T>, done: (result: T) => string): Promise<T> {
    const startedMs = performance.now();
    if (this.#bars !== null) standardOutput.write(paint('dim', `   ${doing} ...`));
    try {
      const result = await work();
      this.#eraseLine();
      this.#done(done(result), performance.now() - startedMs);
      return result;
    } catch (error) {
      this.#eraseLine();
      throw error;
    }
  }

  /** Shows the snapshot's progress while it is read and applied. */
  async reading<T>(pipeline: Pipeline, work: () => Promise<T>): Promise<T> {
    const ended = new AbortController();
    const show = this.#bars === null ? (items: Parameters<ProgressBars['show']>[0]) => items.forEach((item) => this.say(`   ${item.label}: ${progressText(item)}`)) : (items: Parameters<ProgressBars['show']>[0]) => this.#bars?.show(items);
    const watching = watchProgress(pipeline, this.#bars === null ? LINES_EVERY_MS : BARS_EVERY_MS, show, ended.signal);
    try {
      return await work();
    } finally {
      ended.abort();
      await watching;
      this.clear();
    }
  }

  read(rows: number, ms: number): void {
    this.#done(`${count(rows)} rows read and searchable, ${rate((rows / ms) * 1000)} rows/s`, ms);
  }

  found(query: string, document: string): void {
    this.say(`\nA search in the index ${paint('cyan', 'products')} for ${paint('cyan', query)} finds:`);
    this.#product(document);
  }

  changing(sql: string): void {
    this.say('\nThe database is told, with SQL and nothing else:');
    this.say(`   ${paint('cyan', sql)}`);
  }

  result(result: DemoResult): void {
    if (this.#json) {
      const { before, after, ...rest } = result;
      standardOutput.write(`${JSON.stringify(rest).slice(0, -1)},"before":${before},"after":${after}}\n`);
      return;
    }
    this.say('\nThe same search finds now:');
    this.#product(result.after);
    this.say(`\n${paint('green', paint('bold', `${result.commit_to_searchable_ms.toFixed(1)} ms`))} after COMMIT had returned. ${paint('dim', `(${(result.total_ms / 1000).toFixed(1)} s in all)`)}`);
  }

  whatToTry(configPath: string, url: string): void {
    const command = commandName();
    const lines: [string, string][] = [
      [`export TAILRACE_CONFIG=${configPath}`, ''],
      [`${command} search products walnut bookcase`, 'what users would find'],
      [`${command} search orders Utrecht returned`, 'a second index, of orders'],
      [`${command} lag --watch`, 'how far behind it is, drawn anew each second'],
      [`${command} status`, 'everything on one screen'],
      [`psql '${url}'`, ''],
    ];
    // The first and the last are long, and say themselves what they do.
    const width = Math.max(...lines.slice(1, -1).map(([typed]) => typed.length));
    this.say(`\n${paint('bold', 'It stays up.')} Try in another terminal; change rows with psql, then search again:`);
    for (const [typed, what] of lines) this.say(`   ${paint('cyan', typed.padEnd(width))}${what === '' ? '' : `   ${paint('dim', what)}`}`.trimEnd());
    this.say('\nCtrl-C stops it and removes everything that it has made.');
  }

  /** The fields that tell the story. */
  #product(document: string): void {
    const { id, name, price, stock } = parseDocument(document);
    this.say(`   ${paint('bold', documentText({ id, name, price, stock }, standardOutput.columns - 4))}`);
  }

  #eraseLine(): void {
    if (this.#bars !== null) standardOutput.write('\r\u001B[K');
  }

  #done(what: string, ms: number): void {
    this.say(`${paint('green', 'ok')} ${what.padEnd(LABEL_WIDTH)} ${paint('dim', ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`)}`);
  }
}

/** How the command is called from here, as it was called for this demo. */
function commandName(): string {
  if (process.env['npm_lifecycle_event'] === 'demo') return 'npm run --silent tailrace --';
  const script = process.argv[1] ?? '';
  return script.endsWith('.ts') ? `node ${relative(process.cwd(), script)}` : 'npx tailrace';
}
