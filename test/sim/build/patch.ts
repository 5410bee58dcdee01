/** A change of a source text: `from` stands in the file exactly once. */
export interface Patch {
  /** Path from the repository's root. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** Throws when a text to be replaced is not there exactly once: the source has moved on, and the patch must follow. */
export function patched(text: string, patches: readonly Patch[]): string {
  let result = text;
  for (const { file, from, to } of patches) {
    const parts = result.split(from);
    if (parts.length !== 2) throw new Error(`The patch of ${file} fits ${parts.length - 1} times: ${from}`);
    result = parts.join(to);
  }
  return result;
}
