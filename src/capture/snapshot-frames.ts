/** Turns the rows of a chunk into frames, leaving out those that the stream has newer. */
import { Op } from '../change/operation.ts';
import type { RegisterUpdate } from '../connector/log-store.ts';
import type { Chunk } from '../connector/source.ts';
import { windowKey, type ChunkWindow } from './chunk-window.ts';
import { FrameBuilder, type BuiltFrame, type FrameBufferPool } from './frame-builder.ts';

export interface ChunkFrames {
  /** At least one; the last carries `registers`, so that progress is durable with the chunk's last row and not before. */
  readonly frames: readonly BuiltFrame[];
  /** Rows in the frames. */
  readonly rows: number;
  /** Rows left out. */
  readonly superseded: number;
}

export function framesOfChunk(chunk: Chunk, schemaId: number, window: ChunkWindow, registers: readonly RegisterUpdate[], pool: FrameBufferPool): ChunkFrames {
  const builder = new FrameBuilder(pool);
  const frames: BuiltFrame[] = [];
  let superseded = 0;
  for (const [i, key] of chunk.keys.entries()) {
    if (window.changed(windowKey(key))) {
      superseded += 1;
      continue;
    }
    if (builder.isFull) frames.push(builder.take([]));
    builder.add(Op.read, 0, schemaId, key, key.length, chunk.bytes, chunk.offsets[i] as number, chunk.offsets[i + 1] as number, false);
  }
  frames.push(builder.take(registers));
  return { frames, rows: chunk.keys.length - superseded, superseded };
}
