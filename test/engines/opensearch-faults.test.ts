/** Faults of a real OpenSearch or Elasticsearch, each provoked: nothing is lost, applied twice or put down to another document, and work goes on. */
import { testAnswers, testBusyServer, testRefusedEntry } from './opensearch-answers.ts';
import { testCrashes, testShards, testSnapshots, testZombies } from './opensearch-node-faults.ts';
import { testOrder } from './opensearch-order.ts';
import { testBlocks, testLongHistory, testRefusedDocuments } from './opensearch-refusals.ts';
import { allVersions, describeOpenSearch } from './opensearch.ts';

describeOpenSearch(
  allVersions,
  (openSearch) => {
    testRefusedDocuments(openSearch);
    testLongHistory(openSearch);
    testOrder(openSearch);
    testBlocks(openSearch);
    testAnswers(openSearch);
    testBusyServer(openSearch);
    testRefusedEntry(openSearch);
    testZombies(openSearch);
    testShards(openSearch);
    testSnapshots(openSearch);
    testCrashes(openSearch);
  },
  { 'http.max_content_length': '1mb' },
);
