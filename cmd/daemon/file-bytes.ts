/** How large a file is, for who opens a database that nothing may be written to. */
import { statSync } from 'node:fs';

/** Bytes; 0 for a file that is not there. */
export function fileBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
