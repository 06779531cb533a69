import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import type { Teardown } from './load/listen.ts'

const run = promisify(execFile)

/** A broker of a test's own: librdkafka's mock cluster, which speaks Kafka's protocol over real sockets. */
export interface KafkaBroker {
  /** host:port. */
  readonly address: string
  /** It keeps its connections and answers nothing. */
  pause(): void
  resume(): void
  /** kill -9. */
  kill(): Promise<void>
  /** Everything in a topic so far: key and value of each message. */
  read(topic: string): Promise<{ readonly key: string; readonly value: string }[]>
  /** Hands on each message of a topic, from its beginning, as it comes; it keeps only so many. */
  follow(topic: string, onValue: (value: string) => void): void
}

/** Starts one; it ends with the test. Topics make themselves, with four partitions. */
export async function startKafka(t: Teardown): Promise<KafkaBroker> {
  const args = ['-P', '-b', '127.0.0.1:1', '-t', 'boot', '-X', 'test.mock.num.brokers=1', '-d', 'mock']
  // It lives for as long as there may be more to read.
  const child = spawn('kcat', args, { stdio: ['pipe', 'ignore', 'pipe'] })
  const end = (): void => void child.kill('SIGKILL')
  process.once('exit', end)
  const stop = async (): Promise<void> => {
    process.off('exit', end)
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    end()
    await gone
  }
  t.teardown(stop)
  const address = await addressOf(child)
  return {
    address,
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    kill: stop,
    read: async (topic) => {
      const format = ['-f', '%k\t%s\n']
      const { stdout } = await run(
        'kcat',
        ['-C', '-b', address, '-t', topic, '-o', 'beginning', '-e', '-q', ...format],
        { maxBuffer: 256 * 1024 ** 2, timeout: 15_000 }
      )
      return stdout
        .split('\n')
        .filter((row) => row !== '')
        .map((row) => ({ key: row.slice(0, row.indexOf('\t')), value: row.slice(row.indexOf('\t') + 1) }))
    },
    follow: (topic, onValue) => {
      const args = ['-C', '-b', address, '-t', topic, '-o', 'beginning', '-q', '-u']
      const reader = spawn('kcat', args, { stdio: ['ignore', 'pipe', 'ignore'] })
      t.teardown(() => reader.kill('SIGKILL'))
      createInterface(reader.stdout).on('line', onValue)
    }
  }
}

/** A broker that comes back where it was. */
export interface LastingKafka {
  readonly address: string
  /** The process that answers there at present. */
  broker(): KafkaBroker
  /** kill -9: the address refuses connections. */
  kill(): Promise<void>
  /** Another process, which knows nothing of what the one before had. */
  start(): Promise<void>
}

/** A mock cluster chooses its port by itself; this address leads to whichever is there. */
export async function startLastingKafka(t: Teardown): Promise<LastingKafka> {
  let broker = await startKafka(t)
  const sockets = new Set<Socket>()
  const door = createServer((client) => {
    const inner = connect(Number(broker.address.split(':')[1]), '127.0.0.1')
    for (const socket of [client, inner]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.once('close', () => {
        sockets.delete(socket)
        client.destroy()
        inner.destroy()
      })
    }
    client.pipe(inner).pipe(client)
  })
  const open = (port: number) => new Promise<void>((resolve) => door.listen(port, '127.0.0.1', resolve))
  const close = (): void => {
    door.close()
    for (const socket of sockets) socket.destroy()
  }
  t.teardown(close)
  await open(0)
  const { port } = door.address() as AddressInfo
  return {
    address: `127.0.0.1:${port}`,
    broker: () => broker,
    kill: async () => {
      close()
      await broker.kill()
    },
    start: async () => {
      broker = await startKafka(t)
      await open(port)
    }
  }
}

/** What it writes to its standard error says where it listens; the rest is read and thrown away, or it would stop. */
function addressOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    let isKnown = false
    child.once('error', reject)
    child.once('exit', () => reject(new Error(`kcat ended: ${text.slice(0, 500)}`)))
    child.stderr!.on('data', (chunk: Buffer) => {
      if (isKnown) return
      text += chunk.toString()
      const [, address] = /bootstrap\.servers=([0-9.]+:\d+)/.exec(text) ?? []
      if (address === undefined) return
      isKnown = true
      resolve(address)
    })
  })
}

/** A sink for these brokers that gives up soon enough for a test. */
export const kafkaSink = (brokers: readonly string[], more: object = {}) => ({
  name: 'k',
  kind: 'kafka',
  brokers,
  topic: 'access',
  batch: { linger: '50ms', maxLines: 200 },
  timeouts: { connect: '500ms', request: '500ms' },
  timeout: '1s',
  flush: '500ms',
  ...more
})
