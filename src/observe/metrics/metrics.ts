/** `/metrics`: a prom-client registry made anew from the status at each scrape, so that nothing is counted twice and what is not known has no series. */
import { Counter, Gauge, Registry } from 'prom-client';
import type { PipelineStatus } from '../../pipeline/status.ts';
import type { ReadProcessUsage } from '../../runtime/process-usage.ts';
import { metricDefinitions, type MetricDefinition, type MetricName } from './names.ts';
import { samplesOf } from './samples.ts';

export interface Scrape {
  readonly contentType: string;
  /** In the text format of Prometheus. */
  readonly text: string;
}

/** Returns what answers a scrape. */
export function createMetrics(status: () => PipelineStatus, usage: ReadProcessUsage): () => Promise<Scrape> {
  return async () => {
    const registry = new Registry();
    const samples = Map.groupBy(samplesOf(status(), usage()), ({ name }) => name);
    for (const [name, { kind, help, labels }] of Object.entries<MetricDefinition>(metricDefinitions)) {
      const values = samples.get(name as MetricName);
      if (values === undefined) continue;
      const options = { name, help, labelNames: labels, registers: [registry] };
      const metric = kind === 'gauge' ? new Gauge(options) : new Counter(options);
      for (const sample of values) metric.inc(sample.labels, sample.value);
    }
    return { contentType: registry.contentType, text: await registry.metrics() };
  };
}
