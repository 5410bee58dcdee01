/** An amount of the server's log, as people read it. */

const MiB = 1024 * 1024;

/** `less than 0.1 MiB`, `24.5 MiB`, `1,310 MiB`: one unit, so that amounts can be held against each other and against the server's settings. */
export function logAmount(bytes: number): string {
  const scaled = bytes / MiB;
  if (scaled < 0.1) return 'less than 0.1 MiB';
  return `${scaled >= 100 ? Math.round(scaled).toLocaleString('en-US') : scaled.toFixed(1)} MiB`;
}
