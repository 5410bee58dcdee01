/** A target behind a simulated network: the memory target with travel time, and with faults that come and go. */
import type { Batch, FieldPlan, GenerationListing, GenerationPlan, ItemResult, Operation, SearchHit, SearchRequest, Seen, StoredDocument, Target, TargetGeneration, TargetStats } from '../../../src/connector/target.ts';
import type { Finding } from '../../../src/connector/finding.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { Notifier, untilAborted } from '../../../src/runtime/abort.ts';
import type { SimProcess } from '../kernel/sim-process.ts';
import type { SimRandom } from '../kernel/sim-random.ts';
import { MemoryTarget, type ApplyFault, type MemoryStorage } from '../memory-target.ts';
import type { NetworkWeather } from '../source/sim-link.ts';
import { SimLink } from '../source/sim-link.ts';
import { REFUSED } from './workload.ts';

/** The server that holds a target's storage, and how it is at present. */
export interface TargetServer {
  readonly name: string;
  readonly storage: MemoryStorage;
  readonly weather: NetworkWeather;
  reachable: boolean;
  /** Requests wait until it ends. */
  stalled: boolean;
  readonly changed: Notifier;
  /** Chance that a batch is refused as a whole, that its answer is lost, that it is torn, that single operations are to be sent again. */
  readonly trouble: { reject: number; lostAnswer: number; torn: number; items: number };
  /** How often the server has crashed: answers that were on their way are lost then. */
  crashes: number;
  /** Chance that a request goes on when the process that sent it dies. */
  zombies: number;
}

export type TargetHappening = 'a batch did not reach its target' | 'a target blocked a batch' | 'an answer was lost' | 'a batch took effect in part' | 'an operation was to be sent again' | 'an operation was refused for good';

/** What the auditors are told. */
export interface TargetListener {
  /** A batch sets out; `ended` follows when its sender has the answer, or waits for it no longer. */
  sent(plan: GenerationPlan, batch: Batch, process: SimProcess): void;
  ended(plan: GenerationPlan, batch: Batch, process: SimProcess): void;
  /** Documents below a version are about to be removed. */
  sweeping(plan: GenerationPlan, process: SimProcess): void;
  /** A batch is about to take effect, or not. */
  arriving(server: TargetServer, plan: GenerationPlan, batch: Batch, process: SimProcess): void;
  /** It has taken effect, wholly or in part; the answer is on its way. */
  took(server: TargetServer, plan: GenerationPlan, batch: Batch): void;
  /** Documents below a version were removed. */
  swept(server: TargetServer, plan: GenerationPlan): void;
  /** Readers are about to see the generation. */
  promoted(plan: GenerationPlan): void;
  happened(what: TargetHappening): void;
}

/** How late searches and counts see what was written, where the storage knows refreshes. */
const REFRESH_INTERVAL_MS = 1_000;

export class SimTarget implements Target {
  readonly name: string;
  readonly capabilities: Target['capabilities'];
  readonly #server: TargetServer;
  readonly #process: SimProcess;
  readonly #random: SimRandom;
  readonly #listener: TargetListener;
  readonly #plain: MemoryTarget;
  #refreshedMs = Number.NEGATIVE_INFINITY;

  constructor(server: TargetServer, process: SimProcess, random: SimRandom, listener: TargetListener) {
    this.name = server.name;
    this.#server = server;
    this.#process = process;
    this.#random = random;
    this.#listener = listener;
    this.#plain = new MemoryTarget(server.name, server.storage);
    this.capabilities = this.#plain.capabilities;
  }

  async check(signal: AbortSignal): Promise<Finding[]> {
    await this.#link().pass('check', signal);
    return this.#plain.check();
  }

  async open(plan: GenerationPlan, signal: AbortSignal): Promise<TargetGeneration> {
    const link = this.#link();
    await link.pass('open', signal);
    this.#mustReach(link);
    const unanswering = new AbortController().signal;
    await (await this.#plain.open(plan, unanswering))[Symbol.asyncDispose]();
    await link.pass('opened', signal);
    const target = new MemoryTarget(this.#server.name, this.#server.storage, {
      before: async (batch) => this.#arrive(plan, batch),
      after: async (batch) => this.#answer(plan, batch),
      torn: ({ clearBelow }) => {
        if (clearBelow !== undefined) this.#listener.swept(this.#server, plan);
      },
    });
    const generation = await target.open(plan, unanswering);
    return new SimGeneration(generation, this.#server, () => this.#link(), {
      ready: async (s) => this.#ready(s),
      refresh: () => this.#refresh(),
      sent: (batch) => this.#listener.sent(plan, batch, this.#process),
      ended: (batch) => this.#listener.ended(plan, batch, this.#process),
      sweeping: () => this.#listener.sweeping(plan, this.#process),
      swept: () => this.#listener.swept(this.#server, plan),
      promoted: () => this.#listener.promoted(plan),
    });
  }

  async generations(signal: AbortSignal): Promise<GenerationListing[]> {
    const link = this.#link();
    await link.pass('generations', signal);
    this.#mustReach(link);
    this.#refresh();
    return this.#plain.generations(signal);
  }

  async drop(index: string, generation: number, signal: AbortSignal): Promise<void> {
    const link = this.#link();
    await link.pass('drop', signal);
    this.#mustReach(link);
    await this.#plain.drop(index, generation, new AbortController().signal);
    await link.pass('dropped', signal);
  }

  async search(request: SearchRequest, signal: AbortSignal): Promise<SearchHit[]> {
    await this.#link().pass('search', signal);
    this.#refresh();
    return this.#plain.search(request, signal);
  }

  async fetch(index: string, ids: readonly string[], signal: AbortSignal): Promise<(StoredDocument | null)[]> {
    await this.#link().pass('fetch', signal);
    return this.#plain.fetch(index, ids, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #link(): SimLink {
    return new SimLink(this.name, this.#process, this.#random, this.#server.weather, 'TGT_CONN');
  }

  /** The server refreshes by itself; nobody can tell, so it is done when somebody looks. */
  #refresh(): void {
    const { nowMs } = this.#process.executor;
    if (nowMs - this.#refreshedMs < REFRESH_INTERVAL_MS) return;
    this.#refreshedMs = nowMs;
    this.#server.storage.refresh();
  }

  #mustReach(link: SimLink): void {
    if (!this.#server.reachable) link.cut('the server is down');
  }

  async #ready(signal: AbortSignal): Promise<void> {
    while (this.#server.stalled) await this.#server.changed.wait(signal);
  }

  /** The way there. A request that is on its way may outlive its process. */
  async #arrive(plan: GenerationPlan, batch: Batch): Promise<ApplyFault | undefined> {
    const server = this.#server;
    if (!this.#process.seam('apply')) return forever();
    const arrived = Promise.withResolvers<void>();
    const outlives = this.#random.chance(server.zombies);
    const delayMs = this.#random.real(0.3, 3) * server.weather.delayMs * (outlives && this.#random.chance(0.3) ? 30 : 1);
    const process = this.#process;
    this.#process.executor.after(delayMs, `${process.name} ${server.name} apply ${batch.operations.length} to ${plan.index} up to ${batch.cursor}`, arrived.resolve);
    await arrived.promise;
    while (server.stalled) await server.changed.wait(new AbortController().signal);
    if (!process.alive && !outlives) return forever();
    if (!process.alive) process.executor.note(`${process.name} is dead, its request arrives`);
    if (!server.reachable) return { kind: 'reject', code: 'TGT_CONN' };
    const fault = this.#fault(batch);
    if (fault?.kind !== 'reject') this.#listener.arriving(server, plan, batch, process);
    return fault;
  }

  async #answer(plan: GenerationPlan, batch: Batch): Promise<void> {
    this.#listener.took(this.#server, plan, batch);
    if (!this.#process.seam('applied')) return forever();
    const { crashes } = this.#server;
    const back = Promise.withResolvers<void>();
    this.#process.after(this.#random.real(0.3, 3) * this.#server.weather.delayMs, `${this.#server.name} answers ${plan.index} up to ${batch.cursor}`, back.resolve);
    await back.promise;
    if (crashes !== this.#server.crashes) throw new TailraceError('TGT_CONN', { message: 'The target went down before it answered.' });
  }

  #fault(batch: Batch): ApplyFault | undefined {
    const { trouble } = this.#server;
    const random = this.#random;
    if (random.chance(trouble.reject)) {
      const code = random.pick(['TGT_CONN', 'TGT_BLOCKED'] as const);
      this.#listener.happened(code === 'TGT_CONN' ? 'a batch did not reach its target' : 'a target blocked a batch');
      return { kind: 'reject', code };
    }
    // The storage would take what this target refuses: a batch with such a document gets its answer.
    const isClean = !batch.operations.some((operation) => isRefused(operation));
    if (isClean && random.chance(trouble.lostAnswer)) {
      this.#listener.happened('an answer was lost');
      return { kind: 'lost_answer' };
    }
    if (isClean && random.chance(trouble.torn)) {
      const operations = random.between(0, batch.operations.length);
      if (operations > 0 && operations < batch.operations.length && !this.capabilities.atomicCursor) this.#listener.happened('a batch took effect in part');
      return { kind: 'torn', operations };
    }
    const results = new Map<number, Extract<ItemResult, { outcome: 'retry' | 'poison' }>>();
    for (const [place, operation] of batch.operations.entries()) {
      if (random.chance(trouble.items)) results.set(place, random.chance(0.5) ? { outcome: 'retry' } : { outcome: 'retry', afterMs: random.between(1, 500) });
      else if (isRefused(operation)) results.set(place, { outcome: 'poison', code: 'TGT_REJECTED', reason: 'The target refuses such a document.' });
    }
    for (const { outcome } of results.values()) this.#listener.happened(outcome === 'retry' ? 'an operation was to be sent again' : 'an operation was refused for good');
    return results.size === 0 ? undefined : { kind: 'items', results };
  }
}

interface GenerationHooks {
  /** Resolves when the server does not stall. */
  readonly ready: (signal: AbortSignal) => Promise<void>;
  readonly refresh: () => void;
  readonly sent: (batch: Batch) => void;
  readonly ended: (batch: Batch) => void;
  readonly sweeping: () => void;
  readonly swept: () => void;
  readonly promoted: () => void;
}

class SimGeneration implements TargetGeneration {
  readonly #generation: TargetGeneration;
  readonly #server: TargetServer;
  readonly #newLink: () => SimLink;
  #last: SimLink;
  readonly #hooks: GenerationHooks;

  constructor(generation: TargetGeneration, server: TargetServer, newLink: () => SimLink, hooks: GenerationHooks) {
    this.#generation = generation;
    this.#server = server;
    this.#newLink = newLink;
    this.#last = newLink();
    this.#hooks = hooks;
  }

  /** A request is its own: the next one goes over another connection where the one before was lost. */
  get #link(): SimLink {
    if (this.#last.isCut) this.#last = this.#newLink();
    return this.#last;
  }

  get incarnation(): string {
    return this.#generation.incarnation;
  }

  async cursor(): Promise<number | null> {
    await this.#link.pass('cursor');
    return this.#generation.cursor();
  }

  /** The caller may stop waiting; the request goes on. */
  async apply(batch: Batch, signal: AbortSignal): Promise<ItemResult[]> {
    this.#hooks.sent(batch);
    try {
      return await untilAborted(this.#generation.apply(batch, new AbortController().signal), signal);
    } finally {
      this.#hooks.ended(batch);
    }
  }

  async prepare(fields: readonly FieldPlan[], signal: AbortSignal): Promise<void> {
    const link = await this.#asked('prepare', signal);
    await this.#generation.prepare(fields, new AbortController().signal);
    await link.pass('prepared', signal);
  }

  async *scan(signal: AbortSignal): AsyncGenerator<readonly StoredDocument[]> {
    const link = await this.#asked('scan', signal);
    for await (const page of this.#generation.scan(signal)) {
      await link.pass('page', signal);
      yield page;
    }
  }

  async *ids(signal: AbortSignal): AsyncGenerator<readonly string[]> {
    const link = await this.#asked('ids', signal);
    for await (const page of this.#generation.ids(signal)) {
      await link.pass('page', signal);
      yield page;
    }
  }

  async fetch(ids: readonly string[], signal: AbortSignal): Promise<(StoredDocument | null)[]> {
    const link = await this.#asked('fetch', signal);
    const documents = await this.#generation.fetch(ids, signal);
    await link.pass('fetched', signal);
    return documents;
  }

  async remove(ids: readonly string[], signal: AbortSignal): Promise<void> {
    const link = await this.#asked('remove', signal);
    await this.#generation.remove(ids, new AbortController().signal);
    await link.pass('removed', signal);
  }

  async sweep(version: bigint, signal: AbortSignal): Promise<number> {
    this.#hooks.sweeping();
    const link = await this.#asked('sweep', signal);
    const swept = await this.#generation.sweep(version, new AbortController().signal);
    this.#hooks.swept();
    await link.pass('swept', signal);
    return swept;
  }

  async promote(signal: AbortSignal): Promise<void> {
    const link = await this.#asked('promote', signal);
    this.#hooks.promoted();
    await this.#generation.promote(new AbortController().signal);
    await link.pass('promoted', signal);
  }

  async seen(signal: AbortSignal): Promise<Seen> {
    const link = await this.#asked('seen', signal);
    const seen = await this.#generation.seen(signal);
    await link.pass('seen', signal);
    return seen;
  }

  async stats(): Promise<TargetStats> {
    this.#hooks.refresh();
    return this.#generation.stats();
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #asked(what: string, signal: AbortSignal): Promise<SimLink> {
    await this.#hooks.ready(signal);
    const link = this.#link;
    await link.pass(what, signal);
    if (!this.#server.reachable) link.cut('the server is down');
    await link.pass(what, signal);
    return link;
  }
}

function isRefused(operation: Operation): boolean {
  return operation.kind === 'put' && operation.document.includes(JSON.stringify(REFUSED).slice(1, -1));
}

async function forever(): Promise<never> {
  return new Promise<never>(() => {});
}
