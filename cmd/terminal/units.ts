/** Numbers as people read them: thousands apart, bytes in powers of 1024, times in the two units that matter. */

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** `1,234,567` */
export function count(value: number): string {
  return grouped.format(value);
}

/** `1 change`, `1,234 changes` */
export function counted(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** `0`, `0.4`, `12`, `3,400`: per second. */
export function rate(perSecond: number): string {
  return perSecond > 0 && perSecond < 10 ? perSecond.toFixed(1) : count(perSecond);
}

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `968 B`, `1.2 MiB`, `340 GiB` */
export function bytes(value: number): string {
  let scaled = value;
  let unit = 0;
  while (scaled >= 1024 && unit < byteUnits.length - 1) {
    scaled /= 1024;
    unit += 1;
  }
  return `${unit === 0 || scaled >= 100 ? count(scaled) : scaled.toFixed(1)} ${byteUnits[unit]}`;
}

/** `0 s`, `0.3 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h` */
export function duration(seconds: number): string {
  if (seconds < 10 && seconds > 0) return `${Math.max(0.1, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return two(Math.floor(whole / 60), 'min', whole % 60, 's');
  const minutes = Math.round(whole / 60);
  if (minutes < 24 * 60) return two(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.round(minutes / 60);
  return two(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function two(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

/** `42 %`; never 100 before it is all, never more. */
export function percent(done: number, total: number): string {
  if (total <= 0) return '0 %';
  const value = Math.floor((done / total) * 100);
  return `${done >= total ? 100 : Math.min(99, value)} %`;
}

/** `?` for what is not known. */
export function known(value: number | null, format: (value: number) => string): string {
  return value === null ? '?' : format(value);
}
