/** A daemon on a real Postgres, a table that is written all the while, and an index of it that is damaged, verified and repaired. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { DifferenceStatus, VerifyReport } from '../../src/pipeline/verify-status.ts';
import { runCli, type CliResult } from '../cmd/run-cli.ts';
import type { PostgresServer } from './postgres-client.ts';
import { eventually } from './servers.ts';
import { spawnTailrace, type TailraceProcess } from './tailrace.ts';
import { FILTERED, idOf, ODD, type Damage, type Finding, type Hand, type Lying } from './verify-damage.ts';

/** Rows up to here are damaged and not written to; those behind are written to. */
const STILL = 300;
const ROWS = 1_500;

/** A row that makes no document, because it is too large. */
const PARKED = 250;

export type Found = VerifyReport & { readonly found: readonly DifferenceStatus[] };

export interface VerifySceneOptions {
  readonly server: PostgresServer;
  readonly targets?: Readonly<Record<string, unknown>>;
  readonly hand: (folder: string) => Hand;
}

export class VerifyScene implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'tailrace-verify-'));
  readonly hand: Hand;
  readonly #server: PostgresServer;
  readonly #database: string;
  readonly #daemon: TailraceProcess;
  readonly #still = new AbortController();
  #writing: Promise<void> = Promise.resolve();
  written = 0;

  private constructor(folder: string, { server, hand }: VerifySceneOptions, database: string, daemon: TailraceProcess) {
    this.folder = folder;
    this.#server = server;
    this.#database = database;
    this.#daemon = daemon;
    this.hand = hand(join(folder, 'tailrace-data'));
  }

  static async make(options: VerifySceneOptions): Promise<VerifyScene> {
    const { server, targets } = options;
    const folder = mkdtempSync(join(tmpdir(), 'tailrace-verify-'));
    const database = await server.createDatabase();
    await server.query(
      `CREATE TABLE items (id text, part int, name text, price numeric(10,2), stock int, note text, tags text[], PRIMARY KEY (id, part));
      INSERT INTO items SELECT 'item-' || n, n % 7, 'name ' || n, n + 0.50, CASE WHEN n = ${FILTERED} THEN -1 ELSE n END, CASE WHEN n = ${PARKED} THEN repeat('x', 5000) ELSE 'a note of some length, number ' || n END, ARRAY['red', n::text] FROM generate_series(1, ${ROWS}) n`,
      database,
    );
    await server.query(`INSERT INTO items VALUES (E'a:b %25 /é😀"\\\\', ${ODD.part}, 'odd', 1.50, 1, 'a note', '{}')`, database);
    const fields = { id: true, part: true, title: 'name', price: true, stock: true, note: true, tags: true, twice: { expression: 'stock * 2' } };
    const config = { sources: { shop: { type: 'postgres', url: server.url(database), slot: database } }, ...(targets === undefined ? {} : { targets }), indices: { items: { from: 'shop.public.items', where: 'stock >= 0', fields, max_document_bytes: 2_000 } } };
    writeFileSync(join(folder, 'tailrace.yaml'), JSON.stringify(config));
    const daemon = await spawnTailrace(['run'], { cwd: folder });
    await daemon.event('index_serving');
    return new VerifyScene(folder, options, database, daemon);
  }

  async sql(text: string): Promise<void> {
    await this.#server.query(text, this.#database);
  }

  /** Rows that are not damaged are written to from now on. */
  beginWriting(): void {
    this.#writing = this.#write();
  }

  async endWriting(): Promise<void> {
    this.#still.abort();
    await this.#writing;
    await this.inStep();
  }

  async inStep(): Promise<void> {
    await eventually('the index is in step', 60_000, async () => {
      const { log, indices } = JSON.parse((await this.cli('positions', '--json')).stdout) as { log: { durable_seq: number }; indices: { cursor: number }[] };
      return indices[0]?.cursor === log.durable_seq;
    });
  }

  async cli(...args: readonly string[]): Promise<CliResult> {
    return runCli(args, { cwd: this.folder });
  }

  async verify(code: number, ...args: readonly string[]): Promise<Found> {
    const result = await this.cli('verify', 'items', '--json', '--limit', '1000', ...args);
    expect(result).toMatchObject({ code, stderr: expect.not.stringContaining('error') as unknown });
    return JSON.parse(result.stdout) as Found;
  }

  /** Does all of it; returns what is to be found. */
  async damage(damages: readonly Damage[]): Promise<Finding> {
    const { hand } = this;
    const earlier = new Map<string, Lying>();
    for (const id of [idOf(3)]) earlier.set(id, (await hand.read(id)) as Lying);
    await this.sql(`UPDATE items SET name = 'name 3, newer' WHERE id = 'item-3'`);
    await eventually('the update is applied', 30_000, async () => (await hand.read(idOf(3)))?.document.includes('newer') === true);
    const { log } = JSON.parse((await this.cli('positions', '--json')).stdout) as { log: { epoch: number; durable_seq: number } };
    const future = (BigInt(log.epoch) << 48n) + BigInt(log.durable_seq + 1_000_000);
    let finding: Finding = {};
    for (const one of damages) finding = { ...finding, ...(await one.do({ hand, earlier, future, epochBit: 1n << 48n })) };
    return finding;
  }

  async #write(): Promise<void> {
    for (let n = 0; !this.#still.signal.aborted; n += 1) {
      const [some, other] = [STILL + 1 + ((n * 37) % (ROWS - STILL)), STILL + 1 + ((n * 53) % (ROWS - STILL))];
      await this.sql(`UPDATE items SET name = 'write ${n}', stock = stock + 1 WHERE id = 'item-${some}';
        DELETE FROM items WHERE id = 'item-${other}'; INSERT INTO items VALUES ('item-${other}', ${other % 7}, 'again ${n}', 1.25, ${n % 5 === 0 ? -1 : n}, 'a note', '{}');
        INSERT INTO items VALUES ('new-${n}', 1, 'new', 2.50, 1, 'a note', NULL); DELETE FROM items WHERE id = 'new-${n - 50}'`);
      this.written += 4;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#still.abort();
    await this.#writing;
    await this.#daemon[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Verifies while rows are written: nothing, then all of the damage and nothing else; mends it; and then nothing again, which is what is returned of the last look. */
export async function verifiesAndRepairs(scene: VerifyScene, damages: readonly Damage[]): Promise<Found> {
  scene.beginWriting();
  for (let look = 0; look < 3; look += 1) expect(await scene.verify(0)).toMatchObject({ equal: true, differences: 0, unsettled: 0, parked: 1, found: [] });
  const finding = await scene.damage(damages);
  const report = await scene.verify(1);
  expect(Object.fromEntries(report.found.map(({ id, kind }) => [id, kind]))).toEqual(finding);
  expect(report).toMatchObject({ equal: false, differences: Object.keys(finding).length, unsettled: 0, parked: 1 });
  const mended = await scene.verify(0, '--repair');
  expect(mended).toMatchObject({ equal: true, differences: Object.keys(finding).length, repair: { repaired: Object.keys(finding).length, remaining: 0, untried: 0, beyond: 0 } });
  expect(await scene.verify(0)).toMatchObject({ equal: true, differences: 0 });
  await scene.endWriting();
  expect(scene.written).toBeGreaterThan(100);
  return scene.verify(0);
}
