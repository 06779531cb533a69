import { type ChildProcess, spawn } from 'node:child_process'
import { root } from './console.ts'

export interface Toll {
  readonly process: ChildProcess
  /** Everything it has written so far, both streams. */
  output(): string
  /** SIGTERM, and its exit code. */
  stop(): Promise<number | null>
}

/** Starts the `toll` command as a user would, and waits until `url` answers 200. */
export async function startToll(
  t: { teardown(handler: () => unknown): void },
  args: readonly string[],
  options: { readonly cwd: string; readonly url: string; readonly env?: NodeJS.ProcessEnv }
): Promise<Toll> {
  const child = spawn(process.execPath, [`${root}build/bin/toll.js`, ...args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env }
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    output += text
  })
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  const stop = (): Promise<number | null> => {
    child.kill('SIGTERM')
    return ended
  }
  t.teardown(stop)

  const deadline = Date.now() + 15_000
  while (!(await answers(options.url))) {
    if (child.exitCode !== null || Date.now() > deadline)
      throw new Error(`toll ${args.join(' ')} did not serve ${options.url}\n${output}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return { process: child, output: () => output, stop }
}

const answers = (url: string): Promise<boolean> =>
  fetch(url, { signal: AbortSignal.timeout(1000) }).then(
    async (response) => {
      await response.arrayBuffer()
      return response.status === 200
    },
    () => false
  )
