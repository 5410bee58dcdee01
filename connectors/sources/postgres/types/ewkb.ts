/**
 * PostGIS values: EWKB in hex, made into GeoJSON objects.
 *
 * EWKB is OGC's well-known binary with three flags in the type number: 0x80000000 for Z, 0x40000000 for M, 0x20000000 for an SRID that
 * follows. ISO's own numbers for Z and M (thousands) are read too. GeoJSON knows no M: it is left out, as `ST_AsGeoJSON` does. An SRID
 * other than 4326 becomes the member `crs`, as there. Triangles, TINs and polyhedral surfaces become polygons. Curves, which GeoJSON
 * does not have, keep their OGC names with `coordinates` or `geometries` of the same make.
 */
import type { Value, ValueObject } from '../../../../src/change/value.ts';
import { Malformed } from './malformed.ts';

const FLAG_Z = 0x8000_0000;
const FLAG_M = 0x4000_0000;
const FLAG_SRID = 0x2000_0000;
const FLAGS = 0x1fff_ffff;
/** GeoJSON's own reference system, which is not spelled out. */
const SRID_GEOJSON = 4326;
/** Collections within collections; PostGIS itself stops at 200. */
const DEPTH_MAX = 200;

type Shape = 'position' | 'positions' | 'rings' | 'coordinates-of' | 'geometries-of';

/** OGC's geometry types by number: the name they get, and how the parts lie. */
const geometryTypes: Readonly<Record<number, readonly [name: string, shape: Shape]>> = {
  1: ['Point', 'position'],
  2: ['LineString', 'positions'],
  3: ['Polygon', 'rings'],
  4: ['MultiPoint', 'coordinates-of'],
  5: ['MultiLineString', 'coordinates-of'],
  6: ['MultiPolygon', 'coordinates-of'],
  7: ['GeometryCollection', 'geometries-of'],
  8: ['CircularString', 'positions'],
  9: ['CompoundCurve', 'geometries-of'],
  10: ['CurvePolygon', 'geometries-of'],
  11: ['MultiCurve', 'geometries-of'],
  12: ['MultiSurface', 'geometries-of'],
  15: ['MultiPolygon', 'coordinates-of'],
  16: ['GeometryCollection', 'geometries-of'],
  17: ['Polygon', 'rings'],
};

const hexText = /^(?:[0-9A-Fa-f]{2})+$/;

/** A GeoJSON geometry object. */
export function geometryOf(text: string): ValueObject {
  if (!hexText.test(text)) throw new Malformed('a geometry');
  const reader = new EwkbReader(Buffer.from(text, 'hex'));
  const geometry = reader.geometry(0);
  reader.finish();
  return geometry;
}

class EwkbReader {
  readonly #bytes: Buffer;
  #at = 0;
  #little = true;
  #dimensions = 2;
  #hasZ = false;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  finish(): void {
    if (this.#at !== this.#bytes.length) throw new Malformed('a geometry');
  }

  geometry(depth: number): ValueObject {
    if (depth > DEPTH_MAX) throw new Malformed('a geometry');
    const { kind, srid } = this.#header();
    const known = geometryTypes[kind];
    if (known === undefined) throw new Malformed(`a geometry of a known type, not ${kind},`);
    const [type, shape] = known;
    const value: Record<string, Value> = { type };
    if (srid !== 0 && srid !== SRID_GEOJSON) value['crs'] = { type: 'name', properties: { name: `EPSG:${srid}` } };
    if (shape === 'geometries-of') value['geometries'] = this.#repeat(MIN_GEOMETRY_BYTES, () => this.geometry(depth + 1));
    else value['coordinates'] = this.#coordinates(shape, depth);
    return value;
  }

  #coordinates(shape: Shape, depth: number): Value[] {
    if (shape === 'position') return this.#position();
    if (shape === 'positions') return this.#positions();
    if (shape === 'rings') return this.#repeat(MIN_COUNT_BYTES, () => this.#positions());
    return this.#repeat(MIN_GEOMETRY_BYTES, () => this.geometry(depth + 1)['coordinates'] as Value[]);
  }

  #positions(): Value[] {
    return this.#repeat(8 * this.#dimensions, () => this.#position());
  }

  /** An empty point is written as NaNs and becomes an empty list. */
  #position(): number[] {
    const x = this.#double();
    const y = this.#double();
    const position = [x, y];
    if (this.#hasZ) position.push(this.#double());
    for (let i = position.length; i < this.#dimensions; i += 1) this.#double();
    return Number.isNaN(x) && Number.isNaN(y) ? [] : position;
  }

  #header(): { kind: number; srid: number } {
    this.#need(5);
    this.#little = this.#bytes[this.#at] === 1;
    this.#at += 1;
    const type = this.#uint32();
    const thousands = Math.floor((type & FLAGS) / 1000);
    this.#hasZ = (type & FLAG_Z) !== 0 || thousands === 1 || thousands === 3;
    const hasM = (type & FLAG_M) !== 0 || thousands === 2 || thousands === 3;
    this.#dimensions = 2 + (this.#hasZ ? 1 : 0) + (hasM ? 1 : 0);
    return { kind: (type & FLAGS) % 1000, srid: (type & FLAG_SRID) === 0 ? 0 : this.#uint32() };
  }

  /** As many items as the number at hand says; a number that the remaining bytes cannot hold is refused before anything is made. */
  #repeat<T>(bytesEach: number, item: () => T): T[] {
    const count = this.#uint32();
    this.#need(count * bytesEach);
    return Array.from({ length: count }, item);
  }

  #uint32(): number {
    this.#need(4);
    const value = this.#little ? this.#bytes.readUInt32LE(this.#at) : this.#bytes.readUInt32BE(this.#at);
    this.#at += 4;
    return value;
  }

  #double(): number {
    this.#need(8);
    const value = this.#little ? this.#bytes.readDoubleLE(this.#at) : this.#bytes.readDoubleBE(this.#at);
    this.#at += 8;
    return value;
  }

  #need(count: number): void {
    if (this.#at + count > this.#bytes.length) throw new Malformed('a geometry');
  }
}

/** Byte order, type number and a count or nothing: the least that a geometry, or a list, takes. */
const MIN_GEOMETRY_BYTES = 5;
const MIN_COUNT_BYTES = 4;
