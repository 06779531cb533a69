import { replaceRecord } from '../store/record.ts'
import type { Store } from '../store/store.ts'
import type { NodeOverride } from '../upstream/roster.ts'

/** Names each service whose nodes were changed. */
export const nodeLog = 'toll:{nodes}:log'

/** Milliseconds a change stays in the log: whoever was away for longer reads everything again. */
const keep = 60 * 60 * 1000

const recordKey = (service: string): string => `toll:{nodes}:s:${service}`

/** What was changed about a service's nodes. Its revision grows with each change, so that a store that lost some is noticed. */
export interface NodeRecord {
  readonly revision: number
  readonly nodes: readonly NodeOverride[]
}

/** A record, and what the store has for it: a change names what it is made to. */
export interface StoredRecord {
  readonly text: string
  /** Undefined for what a newer gateway, or somebody else, has written. */
  readonly record: NodeRecord | undefined
}

export const untouched: NodeRecord = { revision: 0, nodes: [] }

/** The records of one store; all reject with StoreUnavailable when it does not answer. */
export class NodeRecords {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async read(service: string): Promise<StoredRecord> {
    const text = (await this.#store.get(recordKey(service))) ?? ''
    return { text, record: text === '' ? untouched : parse(text) }
  }

  /** Writes a record and tells every gateway. False when the store has something else than `before` meanwhile. */
  write(service: string, before: string, { revision, nodes }: NodeRecord): Promise<boolean> {
    const after = JSON.stringify({ revision, nodes })
    return this.#store.run(replaceRecord, [nodeLog, recordKey(service)], [keep, before, after, service])
  }
}

function parse(text: string): NodeRecord | undefined {
  try {
    const { revision, nodes } = JSON.parse(text) as Partial<NodeRecord>
    if (!Number.isSafeInteger(revision) || !Array.isArray(nodes)) return undefined
    return { revision: revision!, nodes: nodes.filter(isOverride) }
  } catch {
    return undefined
  }
}

function isOverride(value: unknown): value is NodeOverride {
  if (typeof value !== 'object' || value === null) return false
  const { id, url, weight, state, isDetached } = value as Record<string, unknown>
  return (
    typeof id === 'string' &&
    (url === undefined || (typeof url === 'string' && URL.canParse(url))) &&
    (weight === undefined || Number.isSafeInteger(weight)) &&
    (state === undefined || state === 'up' || state === 'drain' || state === 'down') &&
    (isDetached === undefined || typeof isDetached === 'boolean')
  )
}
