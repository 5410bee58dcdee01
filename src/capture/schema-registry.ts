/**
 * Numbers the shapes of rows. A schema is a register of the log, set in the frame that first uses it, and kept for as long as the log:
 * whoever reads a row finds its shape in the log itself.
 */
import { sameShape, type DeclaredSchema, type RowSchema } from '../change/schema.ts';
import type { RegisterUpdate } from '../connector/log-store.ts';
import { TailraceError } from '../errors/tailrace-error.ts';

const PREFIX = 'schema:';

export function decodeSchema(register: Uint8Array): RowSchema {
  try {
    return JSON.parse(Buffer.from(register).toString()) as RowSchema;
  } catch (cause) {
    throw new TailraceError('LOG_CORRUPT', { message: 'A row schema in the change log cannot be read.', cause });
  }
}

/** The schema that a register update sets, or undefined for other registers. */
export function schemaOfRegister([name, value]: RegisterUpdate): RowSchema | undefined {
  return name.startsWith(PREFIX) && value !== null ? decodeSchema(value) : undefined;
}

/** Hands out schema ids for all sources of one log. */
export class SchemaRegistry {
  readonly #schemas = new Map<number, RowSchema>();
  #nextId = 1;

  constructor(registers: ReadonlyMap<string, Uint8Array>) {
    for (const register of registers) {
      const schema = schemaOfRegister(register);
      if (schema === undefined) continue;
      this.#schemas.set(schema.id, schema);
      this.#nextId = Math.max(this.#nextId, schema.id + 1);
    }
  }

  get(id: number): RowSchema | undefined {
    return this.#schemas.get(id);
  }

  all(): RowSchema[] {
    return [...this.#schemas.values()];
  }

  /** The schema's number, and the register that makes it durable when it is new. */
  number(source: string, declared: DeclaredSchema): { readonly schema: RowSchema; readonly register: RegisterUpdate | null } {
    for (const schema of this.#schemas.values()) {
      if (schema.source === source && sameShape(schema, declared)) return { schema, register: null };
    }
    const { table, format, columns } = declared;
    const schema: RowSchema = { id: this.#nextId, source, table, format, columns };
    this.#nextId += 1;
    this.#schemas.set(schema.id, schema);
    return { schema, register: [`${PREFIX}${schema.id}`, Buffer.from(JSON.stringify(schema))] };
  }
}
