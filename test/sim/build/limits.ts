/** Limits of the engine made small, so that every run meets them. */
import type { Patch } from './patch.ts';

export const limits: readonly Patch[] = [
  { file: 'src/capture/frame-builder.ts', from: 'FRAME_BYTES_MAX = 512 * 1024;', to: 'FRAME_BYTES_MAX = 6 * 1024;' },
  { file: 'src/capture/frame-builder.ts', from: 'FRAME_ENTRIES_MAX = 4096;', to: 'FRAME_ENTRIES_MAX = 40;' },
  { file: 'src/capture/frame-builder.ts', from: 'SMALL_BUFFER_BYTES = 16 * 1024;', to: 'SMALL_BUFFER_BYTES = 200;' },
  { file: 'src/capture/row-completion.ts', from: 'SLICE_BYTES = 4 * 1024 * 1024;', to: 'SLICE_BYTES = 16 * 1024;' },
  { file: 'src/capture/frame-queue.ts', from: 'ADDED_IN_FLIGHT_BYTES = 8 * 1024 * 1024;', to: 'ADDED_IN_FLIGHT_BYTES = 16 * 1024;' },
  { file: 'src/capture/chunk-window.ts', from: 'WINDOW_KEYS_MAX = 200_000;', to: 'WINDOW_KEYS_MAX = 10;' },
  { file: 'src/apply/change-batch.ts', from: 'HELD_SLACK_BYTES = 4 * 1024 * 1024;', to: 'HELD_SLACK_BYTES = 8 * 1024;' },
  { file: 'src/log/recent-frames.ts', from: 'RECENT_BYTES_MAX = 8 * 1024 * 1024;', to: 'RECENT_BYTES_MAX = 8 * 1024;' },
  { file: 'src/log/group.ts', from: 'COPIED_BODY_BYTES_MAX = 64 * 1024;', to: 'COPIED_BODY_BYTES_MAX = 2 * 1024;' },
  { file: 'src/log/format.ts', from: 'INDEX_STEP_BYTES = 1024 * 1024;', to: 'INDEX_STEP_BYTES = 1024;' },
  { file: 'src/log/frame-scanner.ts', from: 'SCAN_CHUNK_BYTES = 1024 * 1024;', to: 'SCAN_CHUNK_BYTES = 4 * 1024;' },
  { file: 'src/log/log-writer.ts', from: 'GROUP_BYTES_MAX = 4 * 1024 * 1024;', to: 'GROUP_BYTES_MAX = 16 * 1024;' },
  { file: 'src/log/log-writer.ts', from: 'GROUP_FRAMES_MAX = 4096;', to: 'GROUP_FRAMES_MAX = 5;' },
  { file: 'src/log/log-writer.ts', from: 'AT_ONCE_BYTES = 64 * 1024;', to: 'AT_ONCE_BYTES = 1024;' },
];
