/** Turns the rows of a chunk into frames, leaving out those that the stream has newer. */
import { Op } from '../change/operation.ts';
import type { RegisterUpdate } from '../connector/log-store.ts';
import type { Chunk } from '../connector/source.ts';
import { windowKey, type ChunkWindow } from './chunk-window.ts';
import { FrameBuilder, type BuiltFrame, type FrameBufferPool } from './frame-builder.ts';

/** How many rows a chunk has. */
export function rowsIn(chunk: Chunk): number {
  return chunk.offsets.length - 1;
}

/** At least one frame; the last carries `registers`, so that progress is durable with the chunk's last row and not before. */
export function framesOfChunk(chunk: Chunk, schemaId: number, window: ChunkWindow, registers: readonly RegisterUpdate[], pool: FrameBufferPool): readonly BuiltFrame[] {
  const builder = new FrameBuilder(pool);
  const frames: BuiltFrame[] = [];
  const { keyBytes, keyOffsets, bytes, offsets } = chunk;
  const rows = rowsIn(chunk);
  const { untouched } = window;
  for (let i = 0; i < rows; i += 1) {
    const keyStart = keyOffsets[i] as number;
    const keyEnd = keyOffsets[i + 1] as number;
    if (!untouched && window.changed(windowKey(keyBytes.subarray(keyStart, keyEnd)))) continue;
    if (builder.isFull) frames.push(builder.take([]));
    builder.add(Op.read, 0, schemaId, keyBytes, keyStart, keyEnd, bytes, offsets[i] as number, offsets[i + 1] as number, null);
  }
  frames.push(builder.take(registers));
  return frames;
}
