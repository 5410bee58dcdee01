/**
 * The database server that a simulated source talks to: its database, the one place in the history that it keeps for us (the slot), and who
 * reads from there. It lives on when the processes that talk to it die.
 */
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { SimProcess } from '../kernel/sim-process.ts';
import type { SimDatabase } from './sim-database.ts';
import type { NetworkWeather, SimLink } from './sim-link.ts';

/** Properties in which databases differ and which the engine must not depend on. */
export interface SourceFlavor {
  /** Ranges of a snapshot follow where rows lie, or their keys. */
  readonly ranges: 'places' | 'keys';
  /** A transaction's position is where its commit record begins, or where it ends: then it equals the resume point behind it. */
  readonly position: 'record' | 'end';
  /** Most messages that arrive at once. */
  readonly pieceMessagesMax: number;
  readonly heartbeatEveryMs: number;
}

interface Slot {
  /** History before this may be forgotten. */
  confirmed: number;
  lost: boolean;
}

export type ServerHappening = 'a slot was made' | 'a slot was read by somebody else' | 'a row changed while its chunk was read' | 'a chunk was read again';

/** What the auditors are told. */
export interface ServerListener {
  confirmed(place: number): void;
  happened(what: ServerHappening): void;
}

export class SimServer {
  readonly name: string;
  readonly database: SimDatabase;
  readonly flavor: SourceFlavor;
  readonly weather: NetworkWeather = { delayMs: 1, cutChance: 0 };
  /** False: nobody gets a connection. */
  reachable = true;
  identity: string;
  /** Where its history ends after it was restored from a backup. */
  restoredTo = Infinity;
  /** A part of a table is being read. */
  onRead: () => void = () => {};
  listener: ServerListener = { confirmed: () => {}, happened: () => {} };
  #slot: Slot | null = null;
  #reader: { readonly process: SimProcess; readonly link: SimLink; wake: () => void } | null = null;

  constructor(name: string, database: SimDatabase, flavor: SourceFlavor) {
    this.name = name;
    this.database = database;
    this.flavor = flavor;
    this.identity = `sim:${database.systemId}`;
  }

  get slot(): Readonly<Slot> | null {
    return this.#slot;
  }

  /** The stream has something new to look at. */
  committed(): void {
    this.#reader?.wake();
  }

  makeSlot(): Readonly<Slot> {
    this.#slot = { confirmed: this.database.end, lost: false };
    this.listener.happened('a slot was made');
    return this.#slot;
  }

  dropSlot(): void {
    this.#slot = null;
  }

  /** The server needed the room: what the slot kept is gone. */
  loseHistory(): void {
    if (this.#slot !== null) this.#slot.lost = true;
    this.cutReader('the server gave up the history');
  }

  confirm(place: number): void {
    if (this.#slot !== null && place > this.#slot.confirmed) this.#slot.confirmed = place;
  }

  /** One reader at a time. Errors: SRC_SLOT_IN_USE. */
  attach(process: SimProcess, link: SimLink, wake: () => void): void {
    if (this.#reader !== null) {
      this.listener.happened('a slot was read by somebody else');
      throw new TailraceError('SRC_SLOT_IN_USE', { message: `The slot of ${this.name} is read by somebody else.` });
    }
    this.#reader = { process, link, wake };
  }

  detach(link: SimLink): void {
    if (this.#reader?.link === link) this.#reader = null;
  }

  /** The server has noticed that the process is gone. */
  detachProcess(process: SimProcess): void {
    if (this.#reader?.process === process) this.#reader = null;
  }

  cutReader(reason: string): void {
    this.#reader?.link.cut(reason);
  }
}
