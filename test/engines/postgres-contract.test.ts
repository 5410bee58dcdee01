/** The Postgres source keeps the source contract, on real servers. */
import { sourceContract } from '../contract/source.ts';
import { postgresFixture } from './postgres-source-fixture.ts';
import { describePostgres } from './postgres.ts';

describePostgres([15, 18], (postgres) => {
  sourceContract(`PostgreSQL ${postgres.major}`, async () => postgresFixture(await postgres.server()));
});
