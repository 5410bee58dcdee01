/** A sink that writes down its calls as short texts: `insert 7 [1] [1|a|~]`. */
import { opName } from '../../../src/change/operation.ts';
import { decodeKey } from '../../../src/change/key.ts';
import type { DeclaredSchema } from '../../../src/change/schema.ts';
import type { ChangeSink } from '../../../src/connector/source.ts';
import { decodePosition, formatLsn } from '../../../connectors/sources/postgres/position.ts';
import { ColumnKindByte, lengthAt, TupleLayout, valueStart } from '../../../connectors/sources/postgres/tuple.ts';

export function recordingSink(): { readonly calls: string[]; readonly sink: ChangeSink } {
  const calls: string[] = [];
  const layout = new TupleLayout();
  const lsn = (position: Uint8Array): string => formatLsn(decodePosition(position).lsn);
  const schemas: string[] = [];
  const sink: ChangeSink = {
    congested: false,
    drained: async () => {},
    declare: (schema: DeclaredSchema) => {
      const text = JSON.stringify(schema);
      if (!schemas.includes(text)) schemas.push(text);
      return schemas.indexOf(text);
    },
    begin: (start) => calls.push(`begin ${start.id} ${lsn(start.position)}`),
    change: (op, flags, schemaId, key, keyLength, bytes, rowStart, rowEnd, incomplete) => {
      const parts = decodeKey(Buffer.from(key.subarray(0, keyLength))).map((part) => (part === null ? '~' : Buffer.from(part).toString()));
      const row = rowEnd > rowStart ? ` [${textsOf(Buffer.from(bytes.subarray(rowStart, rowEnd)), layout).join('|')}]` : '';
      calls.push(`${opName(op)}${flags === 0 ? '' : `+${flags}`} ${schemaId} [${parts.join('|')}]${row}${incomplete ? ' incomplete' : ''}`);
    },
    truncate: (schemaId) => calls.push(`truncate ${schemaId}`),
    commit: (resume) => calls.push(`commit ${lsn(resume)}`),
    heartbeat: (resume) => calls.push(`heartbeat ${lsn(resume)}`),
    remember: (state) => calls.push(`remember ${state.length > 0}`),
    reread: (table, _reason, sweep) => calls.push(`reread ${table} ${sweep}`),
  };
  return { calls, sink };
}

function textsOf(row: Buffer, layout: TupleLayout): string[] {
  if (layout.read(row, 0, row.length) !== row.length) throw new Error('the row does not fill its bytes');
  return Array.from({ length: layout.count }, (_, i) => {
    const column = layout.columns[i] as number;
    if (row[column] === ColumnKindByte.null) return '~';
    if (row[column] === ColumnKindByte.unchanged) return 'unchanged';
    if (row[column] === ColumnKindByte.leftOut) return `left out ${lengthAt(row, column)}`;
    return row.toString('utf8', valueStart(column), valueStart(column) + lengthAt(row, column));
  });
}
