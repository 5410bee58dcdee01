/** Renders `docs/config.md` from the schema: every setting with its type, default and description, and nothing that the schema does not say. */
import type { JsonSchema } from '../../src/config/json-schema.ts';

const introduction = `# Configuration

One YAML file, \`tailrace.yaml\` unless \`--config FILE\` names another. This page is generated from the schema that checks the file;
\`tailrace schema\` prints the same as JSON Schema, and with this as the first line of the file editors complete and check it:

\`\`\`yaml
# yaml-language-server: $schema=./tailrace.schema.json
\`\`\`

Unknown settings are refused. Sizes are in bytes and times in milliseconds unless the name says otherwise.

## Secrets

\`!env NAME\` takes a value from the environment and \`!file PATH\` from a file (without its last newline; a relative path is relative to
the config file). Both are read once, at start. They may stand for any single value. Where a setting is marked *secret* its value is never
printed, logged or shown; of a url everything but the password and unknown parameters is. A password may stand in the file itself, but
then the file is one more place to guard. Tell an editor about the tags with \`"yaml.customTags": ["!env scalar", "!file scalar"]\`.
`;

/** The page, in Markdown. */
export function renderReference(schema: JsonSchema): string {
  const sections: string[] = [introduction];
  const top = schema.properties ?? {};
  const single = Object.entries(top).filter(([, setting]) => !isGroup(setting));
  sections.push('## Top level\n', table(single.map(([name, setting]) => row(name, setting, schema))), '');
  for (const [name, setting] of Object.entries(top)) {
    if (isGroup(setting)) sections.push(...group(name, setting));
  }
  return `${sections.join('\n').trimEnd()}\n`;
}

/** True for a setting that has settings of its own. */
function isGroup(schema: JsonSchema): boolean {
  return schema.properties !== undefined || typeof schema.additionalProperties === 'object';
}

function group(name: string, schema: JsonSchema): string[] {
  const inner = typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined;
  const heading = `## ${inner === undefined ? `\`${name}\`` : `\`${name}.NAME\``}\n\n${schema.description ?? ''}\n`;
  if (inner?.oneOf === undefined) return [heading, table(rowsOf(inner ?? schema, '')), ''];
  const kinds = inner.oneOf.flatMap((choice) => [`### \`type: ${String(choice.properties?.['type']?.const)}\`\n`, table(rowsOf(choice, '')), '']);
  return [heading, ...kinds];
}

function table(rows: readonly string[]): string {
  return ['| setting | type | default | |', '|---|---|---|---|', ...rows].join('\n');
}

/** A row for each setting, settings of settings under their dotted names. */
function rowsOf(schema: JsonSchema, prefix: string): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, setting]) => {
    if (setting.const !== undefined) return [];
    const here = row(`${prefix}${name}`, setting, schema);
    return setting.properties === undefined ? [here] : [here, ...rowsOf(setting, `${prefix}${name}.`)];
  });
}

function row(name: string, setting: JsonSchema, parent: JsonSchema): string {
  const bare = name.slice(name.lastIndexOf('.') + 1);
  const required = parent.required?.includes(bare) === true;
  const cells = [`\`${name}\``, typeText(setting), required ? '**required**' : defaultText(bare, setting), `${setting.secret === true ? '*Secret.* ' : ''}${setting.description ?? ''}`];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
}

function typeText(schema: JsonSchema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${String(value)}\``).join(', ');
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices !== undefined) return [...new Set(choices.map(typeText))].join(' or ');
  switch (schema.type) {
    case 'string':
      return 'text';
    case 'integer':
      return rangeText('whole number', schema);
    case 'number':
      return rangeText('number', schema);
    case 'boolean':
      return '`true`, `false`';
    case 'array':
      return 'list';
    default:
      return 'settings';
  }
}

function rangeText(kind: string, { minimum, maximum }: JsonSchema): string {
  // A schema says the ends of what a JavaScript number holds exactly where it sets no limit.
  const most = maximum === undefined || maximum >= Number.MAX_SAFE_INTEGER ? undefined : maximum;
  if (minimum === undefined || minimum <= Number.MIN_SAFE_INTEGER) return most === undefined ? kind : `${kind}, at most ${most}`;
  return most === undefined ? `${kind}, at least ${minimum}` : `${kind}, ${minimum} to ${most}`;
}

function defaultText(name: string, schema: JsonSchema): string {
  const value = schema.default;
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return '';
  const size = name.endsWith('bytes') && typeof value === 'number' ? sizeText(value) : '';
  return `\`${value}\`${size}`;
}

function sizeText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  let size = bytes;
  for (; size >= 1024 && size % 1024 === 0 && unit < units.length - 1; unit += 1) size /= 1024;
  return unit === 0 ? '' : ` (${size} ${units[unit] ?? ''})`;
}
