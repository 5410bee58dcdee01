/** Progress of long work: bars on a terminal, below whatever else is written there; lines with time and rate where nothing can be drawn over. */
import cliProgress from 'cli-progress';
import type { Output } from './output.ts';
import { count, duration, percent, rate } from './units.ts';

export interface ProgressItem {
  /** What is being done, and the name by which it is recognised again: `reading shop.public.products`. */
  readonly label: string;
  readonly unit: string;
  readonly done: number;
  /** Null when nobody knows how much there is. An estimate: `done` may pass it. */
  readonly total: number | null;
}

/** An item with how fast it goes. */
export interface MeasuredItem extends ProgressItem {
  readonly perSecond: number;
  readonly etaSeconds: number | null;
  readonly elapsedMs: number;
}

/** Rates are taken over about this long, so that they follow what happens and do not flicker. */
const RATE_OVER_MS = 3_000;

interface Meter {
  readonly startedMs: number;
  samples: { readonly atMs: number; readonly done: number }[];
}

/** Measures items that are looked at again and again. */
export class ProgressMeter {
  readonly #meters = new Map<string, Meter>();

  measure(items: readonly ProgressItem[], nowMs: number): MeasuredItem[] {
    for (const label of this.#meters.keys()) if (!items.some((item) => item.label === label)) this.#meters.delete(label);
    return items.map((item) => this.#measure(item, nowMs));
  }

  #measure(item: ProgressItem, nowMs: number): MeasuredItem {
    let meter = this.#meters.get(item.label);
    if (meter === undefined) {
      meter = { startedMs: nowMs, samples: [] };
      this.#meters.set(item.label, meter);
    }
    // One from before the window stays: who looks seldom has a rate too, over the time since the last look.
    const firstRecent = meter.samples.findIndex(({ atMs }) => nowMs - atMs < RATE_OVER_MS);
    meter.samples = [...meter.samples.slice(firstRecent === -1 ? -1 : Math.max(0, firstRecent - 1)), { atMs: nowMs, done: item.done }];
    const [oldest] = meter.samples;
    const spanMs = oldest === undefined ? 0 : nowMs - oldest.atMs;
    const perSecond = oldest === undefined || spanMs === 0 ? 0 : ((item.done - oldest.done) / spanMs) * 1000;
    const left = item.total === null ? null : Math.max(0, item.total - item.done);
    return { ...item, perSecond, etaSeconds: left === null || perSecond <= 0 ? null : left / perSecond, elapsedMs: nowMs - meter.startedMs };
  }
}

/** `42 %  1,680 of about 4,000 rows  12,345 rows/s  3 s left` */
export function progressText({ unit, done, total, perSecond, etaSeconds }: MeasuredItem): string {
  const amount = total === null ? `${count(done)} ${unit}` : `${percent(done, total)}  ${count(done)} of about ${count(total)} ${unit}`;
  const speed = perSecond > 0 ? `  ${rate(perSecond)} ${unit}/s` : '';
  return `${amount}${speed}${etaSeconds === null ? '' : `  ${duration(etaSeconds)} left`}`;
}

/** Draws bars on a terminal. */
export class ProgressBars {
  readonly #output: Output;
  readonly #stream: NodeJS.WriteStream;
  #multi: cliProgress.MultiBar | null = null;
  #bars = new Map<string, cliProgress.SingleBar>();

  constructor(output: Output, stream: NodeJS.WriteStream) {
    this.#output = output;
    this.#stream = stream;
  }

  show(items: readonly MeasuredItem[]): void {
    const isSameSet = items.length === this.#bars.size && items.every(({ label }) => this.#bars.has(label));
    if (!isSameSet) this.#begin(items);
    for (const item of items) {
      const bar = this.#bars.get(item.label);
      bar?.setTotal(Math.max(1, item.total ?? item.done, item.done));
      bar?.update(item.done, { text: progressText(item) });
    }
  }

  /** Writes lines above the bars. */
  above(text: string): void {
    if (this.#multi === null) this.#output.write(text);
    else {
      this.#multi.log(text);
      this.#multi.update();
    }
  }

  clear(): void {
    this.#multi?.stop();
    this.#multi = null;
    this.#bars = new Map();
  }

  #begin(items: readonly MeasuredItem[]): void {
    this.clear();
    if (items.length === 0) return;
    const width = Math.max(...items.map(({ label }) => label.length));
    // Redrawn even when unchanged: a log line that is written above the bars has taken their place.
    const multi = new cliProgress.MultiBar({ stream: this.#stream, clearOnComplete: true, hideCursor: true, gracefulExit: false, forceRedraw: true, barsize: 24, format: '{label}  {bar}  {text}' }, cliProgress.Presets.shades_classic);
    for (const item of items) this.#bars.set(item.label, multi.create(Math.max(1, item.total ?? 1), item.done, { label: item.label.padEnd(width), text: '' }));
    this.#multi = multi;
  }
}
