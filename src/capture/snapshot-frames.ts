/**
 * Turns a chunk into frames: its rows, and a delete for each key that was asked for and is not there. What the stream has newer is left out of
 * both: a row that came to be meanwhile is no more taken back than one that went is brought back.
 */
import { Op } from '../change/operation.ts';
import type { RegisterUpdate } from '../connector/log-store.ts';
import type { Chunk } from '../connector/source.ts';
import { windowKey, type ChunkWindow } from './chunk-window.ts';
import { FrameBuilder, type BuiltFrame, type FrameBufferPool } from './frame-builder.ts';

const noRow = new Uint8Array(0);

/** How much of a snapshot a chunk is: its rows, and keys that were looked up for nothing. */
export function rowsIn(chunk: Pick<Chunk, 'offsets' | 'absentKeys'>): number {
  return chunk.offsets.length - 1 + chunk.absentKeys.length;
}

/** At least one frame; the last carries `registers`, so that progress is durable with the chunk's last row and not before. */
export function framesOfChunk(chunk: Chunk, schemaId: number, window: ChunkWindow, registers: readonly RegisterUpdate[], pool: FrameBufferPool): readonly BuiltFrame[] {
  const builder = new FrameBuilder(pool);
  const frames: BuiltFrame[] = [];
  const { keyBytes, keyOffsets, bytes, offsets, absentKeys } = chunk;
  const { untouched } = window;
  const changed = (keys: Uint8Array, start: number, end: number): boolean => !untouched && window.changed(windowKey(keys.subarray(start, end)));
  const makeRoom = (): void => {
    if (builder.isFull) frames.push(builder.take([]));
  };
  for (let i = 0; i < offsets.length - 1; i += 1) {
    const keyStart = keyOffsets[i] as number;
    const keyEnd = keyOffsets[i + 1] as number;
    if (changed(keyBytes, keyStart, keyEnd)) continue;
    makeRoom();
    builder.add(Op.read, 0, schemaId, keyBytes, keyStart, keyEnd, bytes, offsets[i] as number, offsets[i + 1] as number, null);
  }
  for (const absent of absentKeys) {
    if (changed(absent, 0, absent.length)) continue;
    makeRoom();
    builder.add(Op.delete, 0, schemaId, absent, 0, absent.length, noRow, 0, 0, null);
  }
  frames.push(builder.take(registers));
  return frames;
}
