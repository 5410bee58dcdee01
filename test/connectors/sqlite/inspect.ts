/** Looks into the file behind the target's back: is it sound, and does the full-text index hold exactly the words of the documents? */
import { DatabaseSync } from 'node:sqlite';
import { expect } from 'vitest';

/** Every occurrence of every word of an FTS5 table, as `word rowid column offset`. */
function occurrences(db: DatabaseSync, table: string): string[] {
  db.exec(`CREATE VIRTUAL TABLE temp.words USING fts5vocab('main', '${table}', 'instance')`);
  const rows = db.prepare('SELECT term, doc, col, offset FROM temp.words').all();
  db.exec('DROP TABLE temp.words');
  return rows.map(({ term, doc, col, offset }) => `${String(term)} ${String(doc)} ${String(col)} ${String(offset)}`).toSorted();
}

/** The same words indexed afresh, in a table that is gone afterwards. */
function fromScratch(db: DatabaseSync, number: number): string[] {
  const { sql } = db.prepare('SELECT sql FROM sqlite_schema WHERE name = ?').get(`tailrace_${number}_text`) as { sql: string };
  db.exec('BEGIN');
  try {
    db.exec(sql.replace(`tailrace_${number}_text`, 'fresh').replace(/content='[^']*', content_rowid='rid', /, ''));
    const columns = db.prepare("SELECT name FROM pragma_table_info('fresh')").all().map(({ name }) => `"${String(name)}"`).join(', ');
    db.exec(`INSERT INTO fresh (rowid, ${columns}) SELECT rid, ${columns} FROM tailrace_${number}_content`);
    return occurrences(db, 'fresh');
  } finally {
    db.exec('ROLLBACK');
  }
}

/** Throws when anything in the file does not fit together. Returns how many words are indexed in all. */
export function inspect(path: string): number {
  const db = new DatabaseSync(path);
  try {
    expect(db.prepare('PRAGMA integrity_check').all()).toEqual([{ integrity_check: 'ok' }]);
    let words = 0;
    for (const { number, documents } of db.prepare('SELECT number, documents FROM tailrace_generations').all() as { number: number; documents: number }[]) {
      const kept = occurrences(db, `tailrace_${number}_text`);
      expect(kept).toEqual(fromScratch(db, number));
      expect(db.prepare(`SELECT count(*) AS n FROM tailrace_${number}_documents WHERE document IS NOT NULL`).get()).toEqual({ n: documents });
      words += kept.length;
    }
    return words;
  } finally {
    db.close();
  }
}
