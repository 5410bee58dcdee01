/** The messages by which a query is sent. Source: PostgreSQL documentation, "Message Formats". */

const Type = { query: 0x51, parse: 0x50, bind: 0x42, describe: 0x44, execute: 0x45, sync: 0x53 } as const;

const DESCRIBE_PORTAL = 0x50;

/** `Q`: the simple protocol. The text may hold several statements. */
export function queryMessage(sql: string): Buffer {
  return message(Type.query, textOf(sql));
}

/**
 * Parse, Bind, Describe, Execute and Sync, without parameters and with results as text: the extended protocol. The server refuses a text that
 * holds more than one statement.
 */
export function statementMessages(sql: string): Buffer {
  const unnamed = Buffer.from([0]);
  const none = Buffer.alloc(2);
  return Buffer.concat([
    message(Type.parse, unnamed, textOf(sql), none),
    message(Type.bind, unnamed, unnamed, none, none, none),
    message(Type.describe, Buffer.from([DESCRIBE_PORTAL]), unnamed),
    message(Type.execute, unnamed, Buffer.alloc(4)),
    message(Type.sync),
  ]);
}

function textOf(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'utf8');
}

/** Type | u32 length that counts itself | body. */
function message(type: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const head = Buffer.allocUnsafe(5);
  head[0] = type;
  head.writeUInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}
