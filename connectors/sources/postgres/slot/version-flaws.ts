/**
 * Minor versions of the server that are known to lose or refuse changes, whoever reads them. Nothing here can be mended by a reader.
 * Source: the server's release notes of May and August 2025, and the commits "Fix data loss in logical replication" and "Fix re-distributing
 * previously distributed invalidation messages during logical decoding".
 */

/**
 * First minor versions without the loss: a transaction that is open while its table is added to a publication, or gets another column list or
 * row filter there, may go on by the old terms to its end.
 */
const REMEDY_IN: Readonly<Record<number, number>> = { 13: 21, 14: 18, 15: 13, 16: 9, 17: 5 };

interface VersionFlaw {
  /** A sentence without its period. */
  readonly message: string;
  /** `15.14` */
  readonly soundFrom: string;
}

/** What is known against a server of this `server_version_num`, or null. */
export function versionFlaw(version: number): VersionFlaw | null {
  const major = Math.floor(version / 10_000);
  const minor = version % 10_000;
  const remedyIn = REMEDY_IN[major];
  if (remedyIn === undefined) return null;
  const soundFrom = `${major}.${remedyIn + 1}`;
  if (minor < remedyIn) return { message: 'changes of transactions that are open while a table is published may not be sent', soundFrom };
  // The remedy's first release lets the decoder's memory grow with every DDL beside a long transaction, until it fails.
  if (minor === remedyIn) return { message: 'reading may fail with "invalid memory alloc request size" while DDL runs beside long transactions', soundFrom };
  return null;
}
