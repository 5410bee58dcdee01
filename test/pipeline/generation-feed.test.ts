import { expect, test } from 'vitest';
import { createDocumentBuilder } from '../../src/document/builder.ts';
import { feedOf } from '../../src/pipeline/generation-feed.ts';
import { recordOf } from '../state/generation-record.ts';
import { definition, rowFormat } from './logged-rows.ts';

test('a generation is fed by the definition that it was begun with, and by the limits that the config has now', () => {
  const { fingerprint } = createDocumentBuilder(definition, { format: rowFormat });
  const record = recordOf({ index: 'items', phase: 'serving', fingerprint, definition: JSON.stringify(definition) });
  const limits = { batch: { ...definition.batch, max_bytes: 2_000 }, on_error: 'stop' as const, max_dead_letters: 3, max_document_bytes: 4_000, rollback_hours: 5 };
  const now = { ...definition, where: "name == 'other'", ...limits };
  expect(feedOf(record, { definition: now, transform: undefined, format: () => rowFormat, keyOf: () => undefined })).toMatchObject({ definition: { ...limits, where: definition.where } });
});
