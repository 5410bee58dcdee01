/** Reading what the operating system says: Node puts it into an error's `code`. */

/** `ENOENT`, `ENOSPC`, ...: the code of an error that the operating system raised. */
export function systemCodeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error) || typeof error.code !== 'string') return undefined;
  return error.code;
}
