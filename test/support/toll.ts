import { type ChildProcess, spawn } from 'node:child_process'
import { root } from './console.ts'
import { keep, keepFilesOf } from './evidence.ts'

export interface Toll {
  readonly process: ChildProcess
  /** Everything it has written so far, both streams. */
  output(): string
  /** SIGTERM, and its exit code. */
  stop(): Promise<number | null>
}

/** Starts the `toll` command as a user would, and waits until it is ready and so many of its processes are. */
export async function startToll(
  t: { teardown(handler: () => unknown): void },
  args: readonly string[],
  options: {
    readonly cwd: string
    /** Its admin listener, as "host:port". */
    readonly admin: string
    readonly processes?: number
    /** Milliseconds it may take to get ready. */
    readonly patience?: number
    readonly env?: NodeJS.ProcessEnv
    /** Another build/bin/toll.js than the one of this repository. */
    readonly program?: string
    /** Another Node.js than the one that runs the test. */
    readonly node?: string
    /** The user it runs as. */
    readonly uid?: number
  }
): Promise<Toll> {
  const [command, ...nodeArgs] = plainNodeWith(options.env, options.node)
  const program = options.program ?? `${root}build/bin/toll.js`
  const child = spawn(command, [...nodeArgs, program, ...args], {
    cwd: options.cwd,
    ...(options.uid !== undefined && { uid: options.uid, gid: options.uid }),
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
  t.teardown(async () => {
    await stop()
    keep(output)
    keepFilesOf(options.cwd)
  })

  const deadline = Date.now() + (options.patience ?? 15_000)
  // Its own word as well: another one may have got the port that was free a moment ago.
  const isReady = async (): Promise<boolean> =>
    /\bserving\b/.test(output) &&
    output.split('| [running]').length > (options.processes ?? 0) &&
    (await answers(`http://${options.admin}/readyz`))
  while (!(await isReady())) {
    if (child.exitCode !== null || Date.now() > deadline)
      throw new Error(`toll ${args.join(' ')} did not get ready\n${output}`)
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

/** A Node.js as a user has it, without what tap puts into every one that a test starts to see what it covers. */
export const plainNode = ['env', '-u', 'NODE_OPTIONS', process.execPath] as const

/** The same, with the options that an environment has for it. */
export const plainNodeWith = (
  { NODE_OPTIONS: options }: NodeJS.ProcessEnv = {},
  node = process.execPath
): readonly [string, ...string[]] =>
  options === undefined ? ['env', '-u', 'NODE_OPTIONS', node] : ['env', `NODE_OPTIONS=${options}`, node]
