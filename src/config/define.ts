/** A config written in TypeScript, for those who use tailrace as a library: the same names, defaults and checks as in the file. */
import { type ConfigInput, type ConnectorSchemas, defineConfigSchema } from './config-schema.ts';
import type { TailraceConfig } from './definition.ts';

/** Checks and completes a config. Secrets are given as text or `Secret`. Throws CFG_INVALID with everything that is wrong. */
export function defineConfig<const Schemas extends ConnectorSchemas>(config: ConfigInput<Schemas>, { connectors }: { readonly connectors: Schemas }): TailraceConfig {
  return defineConfigSchema(connectors).validate(config);
}
