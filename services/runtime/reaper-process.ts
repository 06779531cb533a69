import { createInterface } from 'node:readline'
import { endGroup } from './process-group.ts'

/** The program of reaper.ts: "+id" and "-id" lines come in; at the end of input the groups still listed are ended. */
const groups = new Set<number>()

// The end of the gateway is told by the pipe alone. A signal meant for everybody must not end the reaper first.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined)

const lines = createInterface({ input: process.stdin })
lines.on('line', (line) => {
  const leader = Number(line.slice(1))
  // 0 and 1 would mean our own group and everybody.
  if (!Number.isSafeInteger(leader) || leader < 2) return
  if (line.startsWith('+')) groups.add(leader)
  else groups.delete(leader)
})
lines.on('close', async () => {
  await Promise.all([...groups].map((leader) => endGroup(leader, 5000)))
})
