/** Documents of one generation as the target's storage holds them; a null document is a remembered delete. */
export type KeptDocuments = ReadonlyMap<string, { readonly version: bigint; readonly document: string | null }>;
