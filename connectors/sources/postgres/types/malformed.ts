/**
 * What a decoder throws when text is not what the type prints. The row decoder adds the table and column and makes it SRC_UNDECODABLE;
 * the value itself is in neither, because row values never reach a log line.
 */
export class Malformed extends Error {
  /** `expected` names the form, as in "an array", never the value. */
  constructor(expected: string) {
    super(expected);
    this.name = 'Malformed';
  }
}
