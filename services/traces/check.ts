import { createRequire } from 'node:module'
import type { Check } from '../../config/mistake.ts'
import { pointerOf } from '../../config/pointer.ts'
import { missingPeers } from './peers.ts'
import type { TracesOptions } from './slice.ts'

const require = createRequire(import.meta.url)

/** What traces need is installed, since it does not come with the gateway; `resolve` is how that is found out. */
export const tracesOptionsWith =
  (resolve: (name: string) => unknown): Check =>
  ({ traces }: { readonly traces: TracesOptions }, report) => {
    if (!traces.enabled) return
    const missing = missingPeers(resolve)
    if (missing.length === 0) return
    const sentence = `traces need what is not installed; run: npm install ${missing.join(' ')}`
    report.error(pointerOf('traces', 'enabled'), sentence)
  }

export const tracesOptions = tracesOptionsWith(require.resolve)
