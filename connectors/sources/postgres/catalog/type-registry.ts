/** From type OIDs to how their values are read. OIDs are per database and only built-in ones mean the same everywhere: all go by name. */
import type { ColumnKind, ColumnSchema } from '../../../../src/change/schema.ts';
import type { Query } from '../connection/query.ts';
import type { Relation, TypeName } from '../pgoutput/relation.ts';
import type { CompositeDecoding, Decoding, PlainForm } from '../types/decoding.ts';
import type { TypeFacts } from './document.ts';
import { formatTypesSql, typesByNameSql, typesByOidSql } from './document-sql.ts';

interface ResolvedType extends Pick<ColumnSchema, 'kind' | 'element'> {
  readonly decoding: Decoding;
}

const TEXT: ResolvedType = { kind: 'other', decoding: { as: 'text' } };

function mapOf(types: Readonly<Record<string, readonly [ColumnKind, PlainForm]>>): ReadonlyMap<string, readonly [ColumnKind, PlainForm]> {
  return new Map(Object.entries(types));
}

/** Built-in types by name. One that is not here and has no parts is its own text, kind `other`. Documented in docs/sources/postgres-types.md. */
export const builtInTypes = mapOf({
  bool: ['boolean', 'boolean'],
  int2: ['int', 'int'],
  int4: ['int', 'int'],
  oid: ['int', 'int'],
  xid: ['int', 'int'],
  cid: ['int', 'int'],
  int8: ['bigint', 'bigint'],
  xid8: ['bigint', 'bigint'],
  numeric: ['decimal', 'decimal'],
  money: ['decimal', 'money'],
  float4: ['float', 'float'],
  float8: ['float', 'float'],
  text: ['text', 'text'],
  varchar: ['text', 'text'],
  bpchar: ['text', 'text'],
  name: ['text', 'text'],
  char: ['text', 'text'],
  xml: ['text', 'text'],
  uuid: ['uuid', 'text'],
  bytea: ['bytes', 'bytes'],
  date: ['date', 'date'],
  time: ['time', 'time'],
  timetz: ['time', 'timetz'],
  timestamp: ['timestamp', 'timestamp'],
  timestamptz: ['timestamptz', 'timestamptz'],
  interval: ['interval', 'text'],
  json: ['json', 'json'],
  jsonb: ['json', 'json'],
  inet: ['ip', 'text'],
  int2vector: ['array', 'int_list'],
  oidvector: ['array', 'int_list'],
  point: ['object', 'point'],
  line: ['object', 'line'],
  lseg: ['array', 'segment'],
  box: ['array', 'box'],
  path: ['object', 'path'],
  polygon: ['array', 'polygon'],
  circle: ['object', 'circle'],
});

/** Types of extensions, as `extension.type`: the schema that an extension was installed into says nothing. */
export const extensionTypes = mapOf({
  'hstore.hstore': ['object', 'hstore'],
  'citext.citext': ['text', 'text'],
  'ltree.ltree': ['text', 'text'],
  'vector.sparsevec': ['object', 'sparse_vector'],
  'postgis.geometry': ['geometry', 'ewkb'],
  'postgis.geography': ['geometry', 'ewkb'],
});

/** What is in the lists that built-in types of kind `array` are read as. */
const listedKinds: Readonly<Partial<Record<PlainForm, ColumnSchema['element']>>> = { int_list: 'int', segment: 'object', box: 'object', polygon: 'object' };

/** These declare their number of dimensions as type modifier. */
const vectors: ReadonlySet<string> = new Set(['vector.vector', 'vector.halfvec']);

/** The server lets no type contain itself; a catalog that says otherwise ends here. */
const DEPTH_MAX = 64;

export class TypeRegistry {
  readonly #types = new Map<number, TypeFacts>();
  readonly #formatted = new Map<string, string>();
  /** Asked for and not there: not asked again. */
  readonly #gone = new Set<number>();

  add(types: readonly TypeFacts[]): void {
    for (const type of types) {
      this.#types.set(type.oid, type);
      this.#gone.delete(type.oid);
    }
  }

  addFormatted(type: number, modifier: number, formatted: string): void {
    this.#formatted.set(`${type}:${modifier}`, formatted);
  }

  /**
   * Learns types that are not known yet, from the catalog as it is now. One whose OID is gone is looked up by the name that the stream gave
   * with its rows, and is text when there is no such type either.
   */
  async learn(columns: Relation['columns'], names: ReadonlyMap<number, TypeName>, query: Query, signal: AbortSignal): Promise<void> {
    const unknown = new Set(columns.map((column) => column.typeOid).filter((oid) => !this.#types.has(oid) && !this.#gone.has(oid)));
    if (unknown.size > 0) {
      const [row] = await query(typesByOidSql, [[...unknown]], signal);
      this.add(JSON.parse(row?.['types'] ?? '[]') as TypeFacts[]);
      for (const oid of unknown) if (!this.#types.has(oid)) await this.#learnByName(oid, names.get(oid), query, signal);
    }
    const unformatted = columns.filter((column) => this.#types.get(column.typeOid)?.oid === column.typeOid && !this.#formatted.has(`${column.typeOid}:${column.typeModifier}`));
    if (unformatted.length === 0) return;
    const rows = await query(formatTypesSql, [unformatted.map((column) => column.typeOid), unformatted.map((column) => column.typeModifier)], signal);
    for (const row of rows) this.addFormatted(Number(row['oid']), Number(row['modifier']), row['formatted'] ?? '???');
  }

  async #learnByName(oid: number, name: TypeName | undefined, query: Query, signal: AbortSignal): Promise<void> {
    this.#gone.add(oid);
    if (name === undefined) return;
    const [row] = await query(typesByNameSql, [name.namespace, name.name], signal);
    const types = JSON.parse(row?.['types'] ?? '[]') as TypeFacts[];
    this.add(types);
    const found = types.find((type) => type.namespace === name.namespace && type.name === name.name);
    if (found !== undefined) this.#types.set(oid, found);
  }

  /** How values of a type are read; a type that nobody knows any more is its own text. */
  resolve(oid: number, modifier: number): ResolvedType {
    return this.#resolve(oid, modifier, 0);
  }

  /** As a person writes it: `numeric(10,2)`. `names` helps where the catalog has forgotten the type. */
  nameOf(oid: number, modifier: number, names: ReadonlyMap<number, TypeName>): string {
    const formatted = this.#formatted.get(`${oid}:${modifier}`);
    if (formatted !== undefined) return formatted;
    const name = names.get(oid) ?? this.#types.get(oid);
    return name === undefined ? `type ${oid}` : `${name.namespace}.${name.name}`;
  }

  #resolve(oid: number, modifier: number, depth: number): ResolvedType {
    const type = this.#types.get(oid);
    if (type === undefined || depth > DEPTH_MAX) return TEXT;
    switch (type.kind) {
      case 'd':
        return this.#resolve(type.base, type.modifier >= 0 ? type.modifier : modifier, depth + 1);
      case 'e':
        return { kind: 'enum', decoding: { as: 'text' } };
      case 'c':
        return { kind: 'object', decoding: { as: 'composite', fields: this.#fields(type, depth) } };
      case 'r':
        return { kind: 'object', decoding: { as: 'range', of: this.#resolve(type.subtype ?? 0, -1, depth + 1).decoding } };
      case 'm':
        return { kind: 'array', element: 'object', decoding: { as: 'multirange', of: this.#resolve(type.subtype ?? 0, -1, depth + 1).decoding } };
      default:
        return this.#resolveBase(type, modifier, depth);
    }
  }

  #fields(type: TypeFacts, depth: number): CompositeDecoding['fields'] {
    return (type.fields ?? []).map((field) => ({ name: field.name, decoding: this.#resolve(field.type, field.modifier, depth + 1).decoding }));
  }

  #resolveBase(type: TypeFacts, modifier: number, depth: number): ResolvedType {
    const element = this.#types.get(type.element);
    // A true array, and not one of the fixed-length types that merely can be subscripted (point, name).
    if (type.category === 'A' && type.length === -1 && element !== undefined && !builtInTypes.has(type.name)) {
      const of = this.#resolve(type.element, modifier, depth + 1);
      const innermost = of.kind === 'array' ? of.element : of.kind;
      return { kind: 'array', ...(innermost === undefined ? {} : { element: innermost }), decoding: { as: 'array', of: of.decoding, delimiter: element.delimiter } };
    }
    const qualified = `${type.extension}.${type.name}`;
    if (type.extension !== null && vectors.has(qualified)) return { kind: 'vector', decoding: { as: 'vector', dimensions: modifier > 0 ? modifier : null } };
    const known = type.extension !== null ? extensionTypes.get(qualified) : type.namespace === 'pg_catalog' ? builtInTypes.get(type.name) : undefined;
    if (known === undefined) return TEXT;
    const [kind, form] = known;
    const listed = listedKinds[form];
    return { kind, ...(listed === undefined ? {} : { element: listed }), decoding: { as: form } };
  }
}
