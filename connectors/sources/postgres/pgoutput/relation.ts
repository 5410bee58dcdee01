/** A table as the stream describes it: pgoutput's Relation message, with the names of the types that Type messages told before it. */

export interface RelationColumn {
  readonly name: string;
  /** Unsigned. May be an OID that the catalog no longer knows: see `Relation.typeNames`. */
  readonly typeOid: number;
  readonly typeModifier: number;
  /** True for a column of the replica identity; for every column when that is FULL. */
  readonly identity: boolean;
}

export interface TypeName {
  readonly namespace: string;
  readonly name: string;
}

export interface Relation {
  /** Unsigned. */
  readonly oid: number;
  readonly namespace: string;
  readonly name: string;
  /** `pg_class.relreplident`: default (primary key), nothing, full, index. */
  readonly replicaIdentity: 'd' | 'n' | 'f' | 'i';
  readonly columns: readonly RelationColumn[];
  /** Types that are not built in, by OID, as they were called when the rows were written. */
  readonly typeNames: ReadonlyMap<number, TypeName>;
}
