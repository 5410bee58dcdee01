/** Builds the documents of one table's rows. The usual index, columns and nothing else, takes a path of its own: it is run for every change. */
import type { RowSchema } from '../change/schema.ts';
import { jsonOf, type Value } from '../change/value.ts';
import type { IndexDefinition } from '../config/index-settings.ts';
import type { RowDecoder, RowFormat } from '../connector/row-format.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import { CelRow, RowScope } from './cel-row.ts';
import { documentValue, type Expression } from './expression.ts';
import type { OutputField, RowPlan } from './row-plan.ts';
import { type DocumentField, type DocumentTransform, transformed } from './transform.ts';

export type BuiltDocument =
  /** JSON text of the whole document. */
  | { readonly kind: 'document'; readonly json: string }
  /** The row is not in the index: whatever the index has under its id goes. */
  | { readonly kind: 'filtered'; readonly reason: 'where' | 'transform' };

export interface RowDocumentBuilder {
  /** Throws DOC_FAILED, DOC_TOO_LARGE, SRC_UNDECODABLE or SRC_VALUE_TOO_LARGE for a row that makes no document. */
  build(row: Uint8Array): BuiltDocument;
}

interface RowDocumentRequest {
  readonly definition: IndexDefinition;
  readonly schema: RowSchema;
  readonly plan: RowPlan;
  readonly format: RowFormat;
  readonly transform: DocumentTransform | undefined;
}

export function rowDocumentBuilder(request: RowDocumentRequest): RowDocumentBuilder {
  const { definition, plan, schema, format, transform } = request;
  const decoder = format.decoder(schema, plan.columns.map(({ name }) => name));
  const limit = new SizeLimit(definition, schema.table);
  const plain = transform === undefined && plan.where === undefined ? plainWriter(plan.outputs) : undefined;
  if (plain !== undefined) return { build: (row) => limit.checked(plain(decoder.decode(row))) };
  return computing(request, decoder, limit);
}

/** Writes values that stand in the document's order; undefined when the document is not simply its columns. */
function plainWriter(outputs: readonly OutputField[]): ((values: readonly Value[]) => string) | undefined {
  const slots: number[] = [];
  for (const output of outputs) {
    if (output.kind !== 'column') return undefined;
    slots.push(output.slot);
  }
  if (slots.length === 0) return () => '{}';
  const heads = headsOf(outputs);
  const count = slots.length;
  return (values) => {
    let json = '';
    for (let i = 0; i < count; i += 1) json += (heads[i] as string) + jsonText(values[slots[i] as number] as Value);
    return `${json}}`;
  };
}

/** What stands before each value: `{"id":`, `,"name":`. */
function headsOf(outputs: readonly OutputField[]): readonly string[] {
  return outputs.map(({ name }, i) => `${i === 0 ? '{' : ','}${jsonOf(name)}:`);
}

/** Characters that JSON strings write otherwise than as they are: quote, backslash, controls; and halves of pairs, which may stand alone. */
const needsCare = /[^ !#-[\]-\ud7ff\ue000-\uffff]/;

function jsonText(value: Value): string {
  return typeof value === 'string' && !needsCare.test(value) ? `"${value}"` : jsonOf(value);
}

function computing(request: RowDocumentRequest, decoder: RowDecoder, limit: SizeLimit): RowDocumentBuilder {
  const { definition, plan, transform, schema } = request;
  const row = new CelRow(plan.columns);
  const scope = new RowScope(row);
  const heads = headsOf(plan.outputs);
  const context = { index: definition.name, source: schema.source, table: schema.table };
  return {
    build(bytes): BuiltDocument {
      const values = decoder.decode(bytes);
      row.load(values);
      if (plan.where !== undefined && !isIn(plan.where, scope, definition.name)) return { kind: 'filtered', reason: 'where' };
      if (transform === undefined) {
        let json = plan.outputs.length === 0 ? '{' : '';
        for (const [i, output] of plan.outputs.entries()) json += (heads[i] as string) + jsonText(outputValue(output, values, scope));
        return limit.checked(`${json}}`);
      }
      const document = plan.outputs.map((output): DocumentField => ({ name: output.name, value: outputValue(output, values, scope) }));
      const json = transformed(transform, document, context);
      return json === null ? { kind: 'filtered', reason: 'transform' } : limit.checked(json);
    },
  };
}

function outputValue(output: OutputField, values: readonly Value[], scope: RowScope): Value {
  return output.kind === 'column' ? (values[output.slot] as Value) : documentValue(output.expression.evaluate(scope), output.source);
}

/** Unknown is not in: as a WHERE of SQL has it. */
function isIn(where: Expression, scope: RowScope, index: string): boolean {
  const result = where.evaluate(scope);
  if (typeof result === 'boolean') return result;
  if (result === null) return false;
  throw new TailraceError('DOC_FAILED', { message: `indices.${index}.where yields no truth value for this row.`, entity: `indices.${index}.where` });
}

class SizeLimit {
  readonly #index: string;
  readonly #table: string;
  readonly #bytesMax: number;

  constructor(definition: IndexDefinition, table: string) {
    this.#index = definition.name;
    this.#table = table;
    this.#bytesMax = definition.max_document_bytes;
  }

  /** A UTF-16 unit makes at most three bytes, so that most documents need no counting. */
  checked(json: string): BuiltDocument {
    if (json.length * 3 > this.#bytesMax) {
      const bytes = Buffer.byteLength(json);
      if (bytes > this.#bytesMax) {
        throw new TailraceError('DOC_TOO_LARGE', { message: `A document from ${this.#table} has ${bytes} bytes; indices.${this.#index}.max_document_bytes is ${this.#bytesMax}.`, entity: this.#index });
      }
    }
    return { kind: 'document', json };
  }
}
