import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import type { Test } from 'tap'
import { Gateway } from '../../gateway.ts'
import { LineWriter } from '../../services/telemetry/line-writer.ts'
import { createLog } from '../../services/telemetry/log.ts'
import { keep, keepFilesOf, keepSecretsOf } from './evidence.ts'

export interface StartedGateway {
  readonly gateway: Gateway
  /** Origin of the public listener. */
  readonly origin: string
  /** Origin of the admin listener. */
  readonly admin: string
  readonly directory: string
  readonly path: string
  /** Everything logged so far, one parsed object a line. */
  log(): Record<string, unknown>[]
  /** Writes another config and reads it. */
  reconfigure(config: unknown): ReturnType<Gateway['reload']>
  stop(): Promise<void>
}

/** Starts a whole gateway in this process, on free loopback ports, in a directory of its own; it ends with the test. */
export async function startGateway(
  t: Test,
  config: Record<string, unknown>,
  {
    files = {},
    watch = false,
    name = 'gateway.config.json'
  }: { files?: Record<string, string>; watch?: boolean; name?: string } = {}
): Promise<StartedGateway> {
  const directory = mkdtempSync(join(tmpdir(), 'toll-test-'))
  const path = join(directory, name)
  const whole = (part: Record<string, unknown>) =>
    JSON.stringify({ listen: { public: '127.0.0.1:0', admin: '127.0.0.1:0' }, ...part }, undefined, 2)
  writeFileSync(path, whole(config))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  const out = new PassThrough()
  let written = ''
  out.on('data', (chunk) => {
    written += chunk
  })
  const lines = new LineWriter(out)
  const gateway = await Gateway.start({
    path,
    speak: () => ({ log: createLog(lines, 'json', 'debug'), lines, format: 'json' }),
    output: out,
    watch
  })
  keepSecretsOf(gateway.config)
  let stopping: Promise<void> | undefined
  const stop = () => {
    // Nobody waits for a test's idle connections.
    stopping ??= gateway.stop({ lastCall: 0 }).then(() => lines.close())
    return stopping
  }
  t.teardown(async () => {
    await stop()
    keep(written)
    keepFilesOf(directory)
    rmSync(directory, { recursive: true, force: true })
  })
  const { public: origin, admin } = gateway.addresses
  return {
    gateway,
    origin,
    admin,
    directory,
    path,
    log: () => {
      lines.flush()
      return written
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    },
    reconfigure: (next) => {
      writeFileSync(path, whole(next as Record<string, unknown>))
      return gateway.reload('the test asked').finally(() => keepSecretsOf(gateway.config))
    },
    stop
  }
}
