/** The schema of a relation's rows as the log holds them, the same whether the stream or a snapshot brings them. */
import type { ColumnSchema, DeclaredSchema } from '../../../../src/change/schema.ts';
import type { Relation } from '../pgoutput/relation.ts';
import { TUPLE_FORMAT } from '../tuple.ts';
import type { Leaf, LogicalTable } from './logical-table.ts';
import { covers, replicaIdentity } from './identity.ts';
import type { RelationFacts } from './document.ts';
import type { TypeRegistry } from './type-registry.ts';

export interface TableShape {
  readonly schema: DeclaredSchema;
  /** Places of the key's columns in the row, in key order; empty when the whole row is the key. */
  readonly keyIndexes: readonly number[];
}

/**
 * The shape of rows that a Relation message describes. Whether a column may be null, which the message does not say, is taken from the
 * catalog by name.
 */
export function shapeOfRelation(relation: Relation, table: LogicalTable, facts: RelationFacts | undefined, types: TypeRegistry): TableShape {
  const columns = relation.columns.map((column): ColumnSchema => {
    const { kind, element, decoding } = types.resolve(column.typeOid, column.typeModifier);
    return {
      name: column.name,
      kind,
      ...(element === undefined ? {} : { element }),
      sourceType: types.nameOf(column.typeOid, column.typeModifier, relation.typeNames),
      nullable: facts?.columns.find((known) => known.name === column.name)?.not_null !== true,
      keyOrdinal: table.key.indexOf(column.name) + 1,
      decoding: { ...decoding },
    };
  });
  const keyIndexes = table.key.map((name) => columns.findIndex((column) => column.name === name));
  return { schema: { table: table.table, format: TUPLE_FORMAT, columns }, keyIndexes };
}

/** The Relation message that the stream would send of a leaf's rows now. */
export function relationOfLeaf(leaf: Pick<Leaf, 'streamed' | 'columns'>): Relation {
  const { streamed, columns } = leaf;
  const identity = replicaIdentity(streamed);
  return {
    oid: streamed.oid,
    namespace: streamed.namespace,
    name: streamed.name,
    replicaIdentity: streamed.identity,
    columns: columns.map((column) => ({ name: column.name, typeOid: column.type, typeModifier: column.modifier, identity: covers(identity, [column.name]) })),
    typeNames: new Map(),
  };
}
