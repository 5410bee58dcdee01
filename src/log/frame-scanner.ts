/**
 * Reads the frames of one segment one after the other and believes nothing: every checksum, the chain, the place and the seq of each frame
 * are checked before it is handed out. Everything that reads segments goes through here.
 */
import { crc32 } from 'node:zlib';
import type { Seq } from '../change/seq.ts';
import type { DiskFile } from '../runtime/disk.ts';
import { FrameRole, HEAD_BYTES } from './format.ts';
import { decodeHead, type FrameHead } from './frame-head.ts';

/** Bytes per read when whole frames are wanted, and when their heads will do. */
export const SCAN_CHUNK_BYTES = 1024 * 1024;
export const HEAD_CHUNK_BYTES = 16 * 1024;

/** What every frame of the segment must say. */
export interface SegmentMarks {
  readonly logTag: number;
  readonly epoch: number;
  readonly ordinal: number;
}

/** Where to begin. `undefined`: whatever the first frame says is taken as given. */
export interface ScanStart {
  readonly offset: number;
  readonly prevCrc: number | undefined;
  readonly seq: Seq | undefined;
}

export interface FrameFound {
  readonly kind: 'frame';
  readonly head: FrameHead;
  readonly end: number;
  readonly meta: Buffer;
  /** Empty when only heads were asked for. */
  readonly body: Buffer;
}

export type Scan = FrameFound | { readonly kind: 'end' } | { readonly kind: 'damage'; readonly offset: number; readonly reason: string };

const END: Scan = { kind: 'end' };
const NOTHING = Buffer.alloc(0);

export class FrameScanner {
  readonly #file: DiskFile;
  readonly #marks: SegmentMarks;
  readonly #chunkBytesMin: number;
  #chunkBytes: number;
  #buffer: Buffer = NOTHING;
  #bufferAt = 0;
  #offset: number;
  #prevCrc: number | undefined;
  #seq: Seq | undefined;
  #sealed = false;

  constructor(file: DiskFile, marks: SegmentMarks, start: ScanStart, chunkBytes: number = SCAN_CHUNK_BYTES) {
    this.#file = file;
    this.#marks = marks;
    this.#offset = start.offset;
    this.#prevCrc = start.prevCrc;
    this.#seq = start.seq;
    this.#chunkBytesMin = chunkBytes;
    this.#chunkBytes = chunkBytes;
  }

  /** Offset of the next frame. */
  get offset(): number {
    return this.#offset;
  }

  /** Crc that the next frame must name; undefined before the first frame of a scan that took it as given. */
  get prevCrc(): number | undefined {
    return this.#prevCrc;
  }

  /** Seq that the next frame must begin with. */
  get seq(): Seq | undefined {
    return this.#seq;
  }

  /** True behind the footer. */
  get sealed(): boolean {
    return this.#sealed;
  }

  /** The next frame of those that lie before `limit`, a frame boundary or the end of the file. After damage the scanner stays where it is. */
  next(limit: number): Promise<Scan> {
    return this.#scan(limit, true);
  }

  /** Like `next`, without reading and checking the body of data frames. */
  nextHead(limit: number): Promise<Scan> {
    return this.#scan(limit, false);
  }

  /** Goes on at another frame, for one that has read what lies between from elsewhere. */
  skipTo(offset: number, prevCrc: number, seq: Seq): void {
    this.#offset = offset;
    this.#prevCrc = prevCrc;
    this.#seq = seq;
  }

  async #scan(limit: number, withBody: boolean): Promise<Scan> {
    const offset = this.#offset;
    if (offset === limit) return END;
    if (this.#sealed) return this.#damage('something follows the footer');
    if (offset + HEAD_BYTES > limit) return this.#damage('the segment ends inside a frame');
    if (!this.#holds(offset + HEAD_BYTES)) await this.#fill(HEAD_BYTES, limit);
    if (!this.#holds(offset + HEAD_BYTES)) return this.#damage('the file is shorter than it was');
    const head = decodeHead(this.#buffer, offset - this.#bufferAt);
    if (typeof head === 'string') return this.#damage(head);
    const misfit = this.#misfit(head);
    if (misfit !== undefined) return this.#damage(misfit);
    const bodyAt = offset + HEAD_BYTES + head.metaLength;
    const end = bodyAt + head.bodyLength;
    if (end > limit) return this.#damage('the segment ends inside a frame');
    const wantedEnd = withBody || head.role !== FrameRole.data ? end : bodyAt;
    if (!this.#holds(wantedEnd)) await this.#fill(wantedEnd - offset, limit);
    if (!this.#holds(wantedEnd)) return this.#damage('the file is shorter than it was');
    const meta = this.#buffer.subarray(offset + HEAD_BYTES - this.#bufferAt, bodyAt - this.#bufferAt);
    if (crc32(meta) !== head.metaCrc) return this.#damage("the frame's meta does not match its checksum");
    const body = wantedEnd === bodyAt ? NOTHING : this.#buffer.subarray(bodyAt - this.#bufferAt, end - this.#bufferAt);
    if (wantedEnd === end && crc32(body) !== head.bodyCrc) return this.#damage("the frame's body does not match its checksum");
    this.#offset = end;
    this.#prevCrc = head.crc;
    this.#seq = head.firstSeq + head.count;
    this.#sealed = head.role === FrameRole.footer;
    return { kind: 'frame', head, end, meta, body };
  }

  #damage(reason: string): Scan {
    return { kind: 'damage', offset: this.#offset, reason };
  }

  #misfit(head: FrameHead): string | undefined {
    if (head.logTag !== this.#marks.logTag) return 'the frame belongs to another log';
    if (head.epoch !== this.#marks.epoch) return `the frame has epoch ${head.epoch} instead of ${this.#marks.epoch}`;
    if (head.ordinal !== this.#marks.ordinal || head.offset !== this.#offset) return 'the frame belongs to another place';
    if ((head.role === FrameRole.header) !== (head.offset === 0)) return 'the header is not at the beginning';
    if (this.#seq !== undefined && head.firstSeq !== this.#seq) return `the frame begins with seq ${head.firstSeq} instead of ${this.#seq}`;
    if (this.#prevCrc !== undefined && head.prevCrc !== this.#prevCrc) return 'the frame does not follow the one before it';
    return undefined;
  }

  #holds(end: number): boolean {
    return this.#offset >= this.#bufferAt && end <= this.#bufferAt + this.#buffer.length;
  }

  /**
   * Makes the buffer begin at the next frame and hold `wanted` bytes of it if the file has them. The buffer is always a new one:
   * frames that were handed out are views of the old.
   */
  async #fill(wanted: number, limit: number): Promise<void> {
    const offset = this.#offset;
    const bufferEnd = this.#bufferAt + this.#buffer.length;
    // What was read was used to its end: so small frames are read faster in larger pieces, also where only their heads are wanted.
    this.#chunkBytes = offset > this.#bufferAt && offset <= bufferEnd ? Math.min(2 * this.#chunkBytes, SCAN_CHUNK_BYTES) : this.#chunkBytesMin;
    const size = Math.max(wanted, Math.min(this.#chunkBytes, limit - offset));
    const fresh = Buffer.allocUnsafeSlow(size);
    let kept = 0;
    if (offset >= this.#bufferAt && offset < bufferEnd) kept = this.#buffer.copy(fresh, 0, offset - this.#bufferAt);
    const read = await this.#file.read(fresh.subarray(kept), offset + kept);
    this.#buffer = fresh.subarray(0, kept + read);
    this.#bufferAt = offset;
  }
}
