/** The command that begins the stream. Source: PostgreSQL documentation, "Streaming Replication Protocol" and "Logical Streaming Replication Parameters". */
import { quoteIdentifier, quoteLiteral } from '../connection/identifier.ts';
import { formatLsn } from '../position.ts';

/** Text values, no parts of open transactions, no prepared ones, no messages of applications: protocol version 1, as every server since 13 speaks it. The publication's name is an identifier inside of a literal. */
export function startReplicationCommand(slot: string, publication: string, startLsn: bigint): string {
  const options = `proto_version '1', publication_names ${quoteLiteral(quoteIdentifier(publication))}`;
  return `START_REPLICATION SLOT ${quoteIdentifier(slot)} LOGICAL ${formatLsn(startLsn)} (${options})`;
}
