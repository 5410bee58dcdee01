/** Makes sure that the target has room for the fields of a batch's documents before it gets them. */
import type { FieldPlan, TargetGeneration } from '../connector/target.ts';

interface PreparedFieldsDeps {
  readonly target: TargetGeneration;
  readonly fieldsOf: (schemaId: number) => readonly FieldPlan[];
}

export class PreparedFields {
  readonly #deps: PreparedFieldsDeps;
  readonly #schemas = new Set<number>();
  readonly #fields = new Set<string>();

  /** `known`: what the generation was opened with. */
  constructor(deps: PreparedFieldsDeps, known: readonly FieldPlan[]) {
    this.#deps = deps;
    for (const field of known) this.#fields.add(identityOf(field));
  }

  /** Called with the schemas that a batch's documents were made from. Rejects as `TargetGeneration.prepare` does: with TGT_MAPPING, above all. */
  async prepare(schemaIds: ReadonlySet<number>, signal: AbortSignal): Promise<void> {
    for (const id of schemaIds) {
      if (this.#schemas.has(id)) continue;
      const lacking = this.#deps.fieldsOf(id).filter((field) => !this.#fields.has(identityOf(field)));
      if (lacking.length > 0) await this.#deps.target.prepare(lacking, signal);
      for (const field of lacking) this.#fields.add(identityOf(field));
      this.#schemas.add(id);
    }
  }
}

function identityOf({ name, kind, element }: FieldPlan): string {
  return `${kind} ${element ?? ''} ${name}`;
}
