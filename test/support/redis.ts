import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from './ports.ts'

/** A real redis-server of a test's own: own port, own directory, nothing kept on disk unless `args` ask for it. */
export interface RedisServer {
  readonly port: number
  readonly url: string
  readonly directory: string
  readonly pid: number
  /** It keeps its connections and answers nothing, like a stalled machine. */
  pause(): void
  resume(): void
  /** kill -9. */
  kill(): Promise<void>
  /** Starts it again on the same port and directory; `args` replace the former ones. */
  restart(args?: readonly string[]): Promise<void>
  /** Ends it for good and removes its directory. */
  stop(): Promise<void>
}

/** `config` is for what cannot be an argument; it becomes a file, which a Sentinel also writes to. */
export async function startRedis(
  options: { args?: readonly string[]; config?: string } = {}
): Promise<RedisServer> {
  const directory = mkdtempSync(join(tmpdir(), 'toll-redis-'))
  const [port = 0] = await freePorts(1)
  const file: string[] = []
  if (options.config !== undefined) {
    file.push(join(directory, 'redis.conf'))
    writeFileSync(file[0]!, options.config)
  }
  let args = options.args ?? []
  let child = await launch(port, directory, file, args)

  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    // A paused process cannot take SIGTERM.
    child.kill('SIGCONT')
    child.kill(signal)
    await gone
  }
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    directory,
    get pid() {
      return child.pid!
    },
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    kill: () => end('SIGKILL'),
    async restart(newArgs = args) {
      await end('SIGTERM')
      args = newArgs
      child = await launch(port, directory, file, args)
    },
    async stop() {
      await end('SIGKILL')
      rmSync(directory, { recursive: true, force: true })
    }
  }
}

async function launch(
  port: number,
  directory: string,
  file: readonly string[],
  args: readonly string[]
): Promise<ChildProcess> {
  const own = [
    '--bind',
    '127.0.0.1',
    '--port',
    String(port),
    '--dir',
    directory,
    '--save',
    '',
    '--appendonly',
    'no'
  ]
  const child = spawn('redis-server', [...file, ...own, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  // Also when the test ends by an exception; a test that is killed leaves it behind.
  const end = (): void => void child.kill('SIGKILL')
  process.once('exit', end)
  child.once('exit', () => process.off('exit', end))
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output = `${output}${chunk}`.slice(-2000)
    })
  }
  child.on('error', (error) => {
    output = String(error)
  })
  const deadline = Date.now() + 10_000
  while (!(await accepts(port))) {
    if (child.exitCode !== null || child.pid === undefined || Date.now() > deadline) {
      child.kill('SIGKILL')
      throw new Error(`redis-server did not start on port ${port}: ${output}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return child
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
