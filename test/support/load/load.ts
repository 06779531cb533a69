import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Teardown } from './listen.ts'
import type { Sample, Work } from './sample.ts'

const program = fileURLToPath(new URL('load-process.js', import.meta.url))

/** A process that sends requests, and the service they are for. */
export interface Load {
  /** Origin of the service. */
  readonly upstream: string
  begin(work: Work): void
  /** What became of each request, once all of them are answered. */
  end(): Promise<readonly Sample[]>
}

export async function startLoad(t: Teardown): Promise<Load> {
  const child = fork(program, { serialization: 'advanced' })
  t.teardown(() => child.kill('SIGKILL'))
  const [port] = await once(child, 'message')
  return {
    upstream: `http://127.0.0.1:${port}`,
    begin: (work) => void child.send(work),
    async end() {
      child.send('end')
      const [samples] = await once(child, 'message')
      return samples as readonly Sample[]
    }
  }
}
