/** Collects what a read by key finds: rows of one shape, since a chunk has one, and which of the keys they are. */
import { invariant } from '../../../../src/errors/invariant.ts';
import type { RowSite } from '../catalog/catalog.ts';
import type { TableShape } from '../catalog/shape.ts';
import { lengthAt, valueStart } from '../tuple.ts';
import type { Afterwards } from './afterwards.ts';
import { ChunkRows } from './chunk-rows.ts';

/** A chunk that has grown to so many times the wanted bytes is cut short. */
const OVERFLOW_FACTOR = 2;

/** Where rows of the keys are looked for, and what they look like there. */
export interface KeySite extends RowSite {
  readonly shape: TableShape;
}

/** What one read found. */
export interface Found {
  readonly rows: ChunkRows;
  /** Places among the keys that were asked for, of those that `rows` has. */
  readonly inRows: ReadonlySet<number>;
  /** The same of those that have rows of another shape. */
  readonly elsewhere: ReadonlySet<number>;
  readonly shape: TableShape;
  readonly cutShort: boolean;
  /** In the order of the sites; empty when the read was cut short. */
  readonly after: readonly Afterwards[];
}

interface FoundRowsDeps {
  readonly sites: readonly KeySite[];
  readonly rowBytesMax: number;
  readonly asked: readonly Uint8Array[];
  /** Of the keys that are looked for: results name them by their place in this list. */
  readonly places: readonly number[];
}

/** Rows of the first shape that any is found in, and which keys have rows of others. */
export class FoundRows {
  readonly after: Afterwards[] = [];
  readonly #deps: FoundRowsDeps;
  /** Of each site: equal for equal shapes. */
  readonly #shapes: readonly string[];
  #site: number | null = null;
  #rows: ChunkRows;
  #cutShort = false;
  #inRows = new Set<number>();
  #elsewhere = new Set<number>();

  constructor(deps: FoundRowsDeps) {
    this.#deps = deps;
    this.#shapes = deps.sites.map(({ shape }) => JSON.stringify(shape.schema));
    this.#rows = this.#noRows(0);
  }

  clear(): void {
    this.after.length = 0;
    this.#site = null;
    this.#rows = this.#noRows(0);
    this.#cutShort = false;
    this.#inRows = new Set();
    this.#elsewhere = new Set();
  }

  /** A row of a site, with the number of the key before it. False when there are enough: never for one key, which is read whole. */
  add(site: number, bytes: Buffer, start: number, end: number): boolean {
    if (this.#cutShort) return false;
    const { rowBytesMax, asked, places } = this.#deps;
    const place = places[numberBefore(bytes, start)];
    invariant(place !== undefined, 'a row that is found was asked for');
    if (this.#site === null) {
      this.#site = site;
      this.#rows = this.#noRows(site);
    }
    if (this.#shapes[site] !== this.#shapes[this.#site]) {
      this.#elsewhere.add(place);
      return true;
    }
    this.#rows.addBehindOne(bytes, start, end);
    if (this.#rows.lastKey.equals(asked[place] as Uint8Array)) this.#inRows.add(place);
    this.#cutShort = asked.length > 1 && this.#rows.byteLength > OVERFLOW_FACTOR * rowBytesMax;
    return !this.#cutShort;
  }

  found(): Found {
    const { shape } = this.#deps.sites[this.#site ?? 0] as KeySite;
    return { rows: this.#rows, inRows: this.#inRows, elsewhere: this.#elsewhere, shape, cutShort: this.#cutShort, after: this.after };
  }

  #noRows(site: number): ChunkRows {
    return new ChunkRows((this.#deps.sites[site] as KeySite).shape, this.#deps.rowBytesMax);
  }
}

/** The number that is a row's first column: `u16 count | 't' | u32 length | digits`. */
function numberBefore(bytes: Buffer, start: number): number {
  const column = start + 2;
  const from = valueStart(column);
  return Number(bytes.toString('latin1', from, from + lengthAt(bytes, column)));
}
