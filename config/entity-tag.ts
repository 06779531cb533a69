import { hash } from 'node:crypto'
import type { LoadedConfig } from './config.ts'

/**
 * Names one text of one config (RFC 9110 8.8.3): its revision, and behind the dot a hash of the text, because another comment, or a
 * reference in place of what it stands for, is the same revision and still not to be overwritten unseen.
 */
export const entityTag = ({ revision, written }: Pick<LoadedConfig, 'revision' | 'written'>): string =>
  `"${revision}.${hash('sha256', written).slice(0, 8)}"`
