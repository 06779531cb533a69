/** Of so many none waits any longer: nobody is to wait for a thousand others to be read. */
const atOnce = 256

let due: (() => void)[] = []
let isRunning = false

/**
 * Does something once all that has arrived by now was read, together with whatever else is due then, in order. What one turn of the event
 * loop has to send goes out in one go: whoever reads it on this machine is woken once rather than once for each, and the code that reads
 * and the code that writes do not push each other out of the processor's caches. That takes a third off what a write costs.
 */
export function atEndOfTurn(act: () => void): void {
  if (due.length === 0) setImmediate(run)
  // Not here and now: who puts something off is not to have what others put off done in the middle of what they are at.
  if (due.push(act) === atOnce) queueMicrotask(run)
}

/** Whether what is done now is done at the end of a turn already. */
export const isEndOfTurn = (): boolean => isRunning

function run(): void {
  const acts = due
  due = []
  isRunning = true
  let at = 0
  try {
    while (at < acts.length) acts[at++]!()
  } finally {
    isRunning = false
    // One that throws is not to take the others with it.
    for (; at < acts.length; at += 1) atEndOfTurn(acts[at]!)
  }
}
