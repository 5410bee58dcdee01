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
  readonly #registers: ReadonlyMap<string, Uint8Array>;
  #nextId = 1;

  /** `registers`: the log's own, which change with every durable frame. */
  constructor(registers: ReadonlyMap<string, Uint8Array>) {
    this.#registers = registers;
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
    return [...this.#schemas.values()].toSorted((a, b) => a.id - b.id);
  }

  /**
   * The schema's number, and the register that makes it durable while it is not: a frame that carried it may have been lost with its
   * connection, so having been numbered once is not enough.
   */
  number(source: string, declared: DeclaredSchema): { readonly schema: RowSchema; readonly register: RegisterUpdate | null } {
    const schema = this.#find(source, declared) ?? this.#add(source, declared);
    const name = `${PREFIX}${schema.id}`;
    return { schema, register: this.#registers.has(name) ? null : [name, Buffer.from(JSON.stringify(schema))] };
  }

  #find(source: string, declared: DeclaredSchema): RowSchema | undefined {
    for (const schema of this.#schemas.values()) if (schema.source === source && sameShape(schema, declared)) return schema;
    return undefined;
  }

  #add(source: string, { table, format, columns }: DeclaredSchema): RowSchema {
    const schema: RowSchema = { id: this.#nextId, source, table, format, columns };
    this.#nextId += 1;
    this.#schemas.set(schema.id, schema);
    return schema;
  }
}
