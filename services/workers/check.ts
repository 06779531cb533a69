import type { Check, Report } from '../../config/mistake.ts'

interface Config {
  readonly workers: 'auto' | number
  readonly runtime: { readonly enabled: boolean }
}

/** Local processes are started once, and nobody would know by which of the workers. */
export const workerOptions: Check = ({ workers, runtime }: Config, report: Report) => {
  if (workers === 1 || !runtime.enabled) return
  report.error(
    '/workers',
    'a gateway that runs the processes of its services (runtime.enabled) is one process itself'
  )
}
