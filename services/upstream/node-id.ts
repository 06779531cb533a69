import { createHash } from 'node:crypto'

/**
 * The id of a node that was given none: made of its url alone, so that every gateway finds the same one and it stays when the list around
 * it changes. It does not say where the node is.
 */
export const identityOf = (service: string, url: string): string =>
  `${service}-${createHash('sha256').update(new URL(url).href).digest('hex').slice(0, 8)}`
