/** G5: a document's version only grows, deletes included. G16: the same version is always the same document. */
import { crc32 } from 'node:zlib';
import type { Batch } from '../../../src/connector/target.ts';
import type { Findings } from './findings.ts';
import type { KeptDocuments } from './kept-documents.ts';

interface Seen {
  readonly version: bigint;
  readonly isDelete: boolean;
}

export class VersionAuditor {
  readonly #findings: Findings;
  /** The newest that each document was, by generation and id. */
  readonly #newest = new Map<string, Map<string, Seen>>();
  readonly #operations = new Map<string, number>();

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** A batch took effect, wholly or in part. */
  took(name: string, batch: Batch, kept: KeptDocuments): void {
    const newest = this.#of(name);
    for (const operation of batch.operations) {
      const { id, version } = operation;
      this.#checkSame(name, operation);
      const now = kept.get(id);
      const before = newest.get(id);
      if (now === undefined) continue;
      if (before !== undefined) this.#findings.expect('G5', now.version >= before.version, () => `${name}: ${id} went back from version ${before.version} to ${now.version} (operation ${version})`);
      newest.set(id, { version: now.version, isDelete: now.document === null });
    }
  }

  /** The server has forgotten its deletes: until a replay has come to its end, documents may be older than they were. */
  forgotDeletes(): void {
    for (const newest of this.#newest.values()) for (const [id, { isDelete }] of newest) if (isDelete) newest.delete(id);
  }

  /** Documents were cleared or swept: a target remembers a delete of each, or nothing of them. */
  cleared(name: string, kept: KeptDocuments): void {
    const newest = this.#of(name);
    for (const id of newest.keys()) {
      const now = kept.get(id);
      if (now === undefined) newest.delete(id);
      else if (now.document === null) newest.set(id, { version: now.version, isDelete: true });
    }
  }

  /** The server is as it was earlier. */
  wentBack(): void {
    this.#newest.clear();
  }

  #checkSame(name: string, operation: Batch['operations'][number]): void {
    // What a refused document takes the place of is deleted with its own version, perhaps.
    if (operation.kind === 'delete') return;
    const key = `${name} ${operation.id} ${operation.version}`;
    const crc = crc32(operation.document);
    const before = this.#operations.get(key);
    this.#findings.expect('G16', before === undefined || before === crc, () => `${name}: ${operation.id} was sent twice with version ${operation.version} and different content`);
    this.#operations.set(key, crc);
  }

  #of(name: string): Map<string, Seen> {
    let newest = this.#newest.get(name);
    if (newest === undefined) {
      newest = new Map();
      this.#newest.set(name, newest);
    }
    return newest;
  }
}
