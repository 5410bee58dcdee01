/** What reading tables beside the stream needs from the session. */
import type { Clock } from '../../../../src/runtime/clock.ts';
import type { Logger } from '../../../../src/runtime/logger.ts';
import type { Random } from '../../../../src/runtime/random.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Query } from '../connection/query.ts';
import type { VisibilityTracker } from '../visibility.ts';
import type { OpenRawConnection } from '../wire/raw-query.ts';

export interface ReadDeps {
  /** Name of the source, for messages. */
  readonly source: string;
  readonly catalog: Catalog;
  /** Compares the catalog with the server's, refreshes it and tells the stream's sink what changed, as the poll does. */
  readonly refreshCatalog: (signal: AbortSignal) => Promise<void>;
  readonly visibility: Pick<VisibilityTracker, 'mark' | 'sees' | 'hiddenXid'>;
  readonly open: OpenRawConnection;
  readonly query: Query;
  /** The position of what `pg_current_wal_insert_lsn()` told. */
  readonly positionOf: (insertLsn: string) => Uint8Array;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}
