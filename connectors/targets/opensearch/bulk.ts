/**
 * Brings operations to the cluster: in requests of bounded size, several at once as far as it bears, each result at the place of its
 * operation. Order does not matter in a batch, since no id is in it twice.
 */
import type { ItemResult, Operation } from '../../../src/connector/target.ts';
import type { Clock } from '../../../src/runtime/clock.ts';
import { ANSWER_FILTER, GONE, putOff, readAnswer } from './answer.ts';
import { pathOf, type Answer, type Cluster } from './cluster.ts';
import { failureOf, isDocumentFault, refusalReason, serverErrorOf } from './failure.ts';
import { isNestedTooDeep, NESTING_MAX } from './nesting.ts';
import { BodyWriter, type BulkBody } from './ndjson.ts';
import type { Pressure } from './pressure.ts';

/** Limit of both servers for an id. */
const ID_BYTES_MAX = 512;

export interface BulkWork {
  readonly operations: readonly Operation[];
  /** Through which alias. */
  readonly alias: string;
  /** The generation's index, for messages. */
  readonly physical: string;
  /** Called instead of taking results when the alias is not there; says what that means by rejecting. */
  readonly onGone: (signal: AbortSignal) => Promise<never>;
}

export interface BulkDeps {
  readonly cluster: Cluster;
  readonly pressure: Pressure;
  readonly clock: Clock;
  readonly countMax: number;
}

export class BulkSender {
  readonly #deps: BulkDeps;
  readonly #writer = new BodyWriter();

  constructor(deps: BulkDeps) {
    this.#deps = deps;
  }

  /** One result per operation. Rejects when all requests have ended and one of them failed as a whole. */
  async send(work: BulkWork, signal: AbortSignal): Promise<ItemResult[]> {
    const results: ItemResult[] = [];
    const positions: number[] = [];
    // Plain loops here and where results are filed: over iterators of pairs they cost as much as writing the body.
    for (let at = 0; at < work.operations.length; at += 1) {
      const problem = operationProblem(work.operations[at] as Operation);
      if (problem === undefined) positions.push(at);
      else results[at] = { outcome: 'poison', code: 'TGT_REJECTED', reason: problem };
    }
    await new Run(work, positions, results, this.#writer, this.#deps, signal).all();
    return results;
  }
}

/** Why an operation is not sent at all. */
function operationProblem(operation: Operation): string | undefined {
  const problem = idProblem(operation.id);
  if (problem !== undefined || operation.kind === 'delete' || !isNestedTooDeep(operation.document)) return problem;
  return `The document has more than ${NESTING_MAX} levels of objects and lists in each other, which can end a node of OpenSearch.`;
}

/** What keeps a server from taking the id, which would make it refuse the whole request. */
export function idProblem(id: string): string | undefined {
  if (id === '') return 'The id is empty.';
  if (!id.isWellFormed()) return 'The id is no well-formed Unicode text (it has half of a surrogate pair).';
  if (id.length * 3 > ID_BYTES_MAX && Buffer.byteLength(id) > ID_BYTES_MAX) return `The id is longer than ${ID_BYTES_MAX} bytes.`;
  return undefined;
}

/** One call of `send`. */
class Run {
  readonly #work: BulkWork;
  readonly #positions: readonly number[];
  readonly #results: ItemResult[];
  readonly #writer: BodyWriter;
  readonly #deps: BulkDeps;
  readonly #signal: AbortSignal;
  #next = 0;

  constructor(work: BulkWork, positions: readonly number[], results: ItemResult[], writer: BodyWriter, deps: BulkDeps, signal: AbortSignal) {
    this.#work = work;
    this.#positions = positions;
    this.#results = results;
    this.#writer = writer;
    this.#deps = deps;
    this.#signal = signal;
  }

  async all(): Promise<void> {
    const requests: Promise<void>[] = [];
    let failure: { readonly error: unknown } | undefined;
    // A body is written when there is room to send it, so that only what is under way is held in memory.
    const addOne = (): void => {
      const one = this.#deps.pressure.run(async () => {
        if (this.#next >= this.#positions.length || failure !== undefined) return;
        const { positions, body } = this.#take();
        if (this.#next < this.#positions.length) addOne();
        await this.#send(positions, body);
      }, this.#signal);
      requests.push(one.catch((error: unknown) => void (failure ??= { error })));
    };
    if (this.#positions.length > 0) addOne();
    for (let i = 0; i < requests.length; i += 1) await requests[i];
    if (failure !== undefined) throw failure.error;
  }

  #take(): { readonly positions: readonly number[]; readonly body: BulkBody } {
    const { pressure, countMax } = this.#deps;
    const body = this.#body(this.#positions, this.#next, { bytesMax: pressure.requestBytes, countMax });
    this.#next += body.positions.length;
    return { positions: body.positions, body };
  }

  #body(positions: readonly number[], from: number, limits: { readonly bytesMax: number; readonly countMax: number }): BulkBody {
    return this.#writer.write(this.#work.operations, positions, from, limits);
  }

  async #send(positions: readonly number[], body: BulkBody): Promise<void> {
    const { cluster, pressure, clock } = this.#deps;
    const { alias, physical, onGone, operations } = this.#work;
    const { round } = pressure;
    const startMs = clock.monotonicMs();
    const size = body.bytes.length;
    const answer = await cluster.request({ method: 'POST', path: `${pathOf(alias, '_bulk')}?require_alias=true&${ANSWER_FILTER}`, body: body.bytes }, this.#signal);
    if (answer.status !== 200) {
      await this.#refused(answer, positions, size, round);
      return;
    }
    body.release();
    const read = readAnswer(answer.body ?? Buffer.alloc(0), operations, body, { what: `writing to ${physical}`, physical });
    if (read === GONE) await onGone(this.#signal);
    else {
      for (let i = 0; i < positions.length; i += 1) this.#results[positions[i] as number] = read.results[i] as ItemResult;
      pressure.learn(read.rejected === 0 ? 'well' : read.isShortOfMemory ? 'short of memory' : 'refused', round, size, clock.monotonicMs() - startMs);
    }
  }

  /** The cluster took nothing of the request. */
  async #refused(answer: Answer, positions: readonly number[], size: number, round: number): Promise<void> {
    const { pressure } = this.#deps;
    const { physical, onGone } = this.#work;
    const error = serverErrorOf(answer.body);
    if (answer.status === 429 && error.type !== 'cluster_block_exception') {
      pressure.learn(error.type === 'circuit_breaking_exception' ? 'short of memory' : 'refused', round, size, 0);
      for (const at of positions) this.#results[at] = { ...putOff(answer.status, error), ...(answer.retryAfterMs === undefined ? {} : { afterMs: answer.retryAfterMs }) };
    } else if (answer.status === 413) {
      pressure.tooLarge(size);
      await this.#halves(positions, `The document makes a request of ${size} bytes, which is more than the cluster takes (http.max_content_length).`);
    } else if (answer.status === 400 && isDocumentFault(error)) await this.#halves(positions, refusalReason(error));
    else if (answer.status === 404 && error.type === 'index_not_found_exception') await onGone(this.#signal);
    // The reason of a refused write may quote what was written.
    else throw failureOf(answer.status, answer.status === 403 || answer.status === 429 ? error : { type: error.type, reason: '' }, { what: `writing to ${physical}`, physical });
  }

  /** One operation is to blame, or all together: sent again in two parts, down to the one, which is refused for good. */
  async #halves(positions: readonly number[], reason: string): Promise<void> {
    const [only] = positions;
    if (only === undefined) return;
    if (positions.length === 1) {
      this.#results[only] = { outcome: 'poison', code: 'TGT_REJECTED', reason };
      return;
    }
    const middle = positions.length >> 1;
    for (const half of [positions.slice(0, middle), positions.slice(middle)]) await this.#send(half, this.#body(half, 0, { bytesMax: Infinity, countMax: Infinity }));
  }
}
