import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MessageReader, type MessageConsumer } from '../../../connectors/sources/postgres/wire/message-reader.ts';
import { message, pieces, uint32 } from './wire-bytes.ts';

interface Seen {
  readonly type: string;
  readonly body: Buffer;
  readonly large: boolean;
}

/** Copies what it is handed, as every consumer has to; `onMessage` is called after each. */
function recorder(onMessage: () => void = () => {}): { readonly seen: Seen[]; readonly consumer: MessageConsumer } {
  const seen: Seen[] = [];
  const consumer: MessageConsumer = {
    message: (type, bytes, start, end) => {
      expect(bytes[start - 5]).toBe(type);
      seen.push({ type: String.fromCharCode(type), body: Buffer.from(bytes.subarray(start, end)), large: false });
      onMessage();
    },
    largeMessage: (type, bodyBytes) => {
      const parts: Buffer[] = [];
      return {
        part: (bytes, start, end) => parts.push(Buffer.from(bytes.subarray(start, end))),
        end: () => {
          const body = Buffer.concat(parts);
          expect(body.length).toBe(bodyBytes);
          seen.push({ type: String.fromCharCode(type), body, large: true });
          onMessage();
        },
      };
    },
  };
  return { seen, consumer };
}

const anyMessages = fc.array(fc.record({ type: fc.constantFrom('d', 'D', 'N', 'Z'), body: fc.uint8Array({ maxLength: 300 }) }), { maxLength: 30 });

test('messages are the same in whatever pieces their bytes arrive, one by one included', () => {
  fc.assert(
    fc.property(anyMessages, fc.array(fc.integer({ min: 1, max: 80 }), { minLength: 1, maxLength: 8 }), (messages, sizes) => {
      const bytes = Buffer.concat(messages.map(({ type, body }) => message(type, Buffer.from(body))));
      for (const cut of [sizes, [1], [bytes.length]]) {
        const { seen, consumer } = recorder();
        const reader = new MessageReader(consumer, 200);
        for (const piece of pieces(bytes, cut)) reader.push(piece);
        expect(seen).toEqual(messages.map(({ type, body }) => ({ type, body: Buffer.from(body), large: body.length > 200 })));
      }
    }),
  );
});

test('a reader that is held loses and reorders nothing, wherever it is held and however late it is released', () => {
  fc.assert(
    fc.property(anyMessages, fc.array(fc.integer({ min: 1, max: 80 }), { minLength: 1, maxLength: 8 }), fc.array(fc.boolean(), { minLength: 1, maxLength: 9 }), (messages, sizes, holds) => {
      const bytes = Buffer.concat(messages.map(({ type, body }) => message(type, Buffer.from(body))));
      let handled = 0;
      const { seen, consumer } = recorder(() => {
        handled += 1;
        if (holds[handled % holds.length] === true) reader.hold();
      });
      const reader = new MessageReader(consumer, 200);
      let pushed = 0;
      for (const piece of pieces(bytes, sizes)) {
        const before = seen.length;
        const held = reader.held;
        reader.push(piece);
        if (held) expect(seen.length).toBe(before);
        pushed += 1;
        if (reader.held && pushed % 3 === 0) reader.release();
      }
      while (reader.held) reader.release();
      expect(seen.map(({ body }) => body)).toEqual(messages.map(({ body }) => Buffer.from(body)));
    }),
  );
});

test('a body of any size is handed over in parts without being put together', () => {
  let bytes = 0;
  let largestPart = 0;
  const reader = new MessageReader(
    {
      message: () => {},
      largeMessage: () => ({
        part: (_bytes, start, end) => {
          bytes += end - start;
          largestPart = Math.max(largestPart, end - start);
        },
        end: () => {},
      }),
    },
    1024,
  );
  reader.push(Buffer.concat([Buffer.from('d'), uint32(512 * 1024 * 1024 + 4)]));
  const piece = Buffer.alloc(64 * 1024);
  for (let i = 0; i < 8192; i += 1) reader.push(piece);
  expect(bytes).toBe(512 * 1024 * 1024);
  expect(largestPart).toBe(piece.length);
});

test('a length that no message has is refused', () => {
  const reader = new MessageReader(recorder().consumer, 1024);
  expect(() => reader.push(Buffer.concat([Buffer.from('d'), uint32(3)]))).toThrow(expect.objectContaining({ code: 'SRC_PROTOCOL' }));
  const other = new MessageReader(recorder().consumer, 1024);
  expect(() => other.push(Buffer.concat([Buffer.from('d'), uint32(2 ** 31)]))).toThrow(expect.objectContaining({ code: 'SRC_PROTOCOL' }));
});
