import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { evidenceRoom } from './support/evidence.ts'

/**
 * Runs once before the tests: builds tap's own plugin set and makes sure that the real servers the tests start are there, from PATH or,
 * for root on Debian and Ubuntu, from apt-get. It never lets a test be skipped: without a server it fails and says what to install.
 */
const root = fileURLToPath(new URL('../..', import.meta.url))
const oldestRedis = [6, 2] as const
const policy = '/usr/sbin/policy-rc.d'
const servicePid = '/run/redis/redis-server.pid'

rmSync(evidenceRoom, { recursive: true, force: true })
mkdirSync(evidenceRoom)
buildTap()
ensureRedis()
ensureCurl()
ensureKcat()

/** tap compiles its plugin list into node_modules, so `npm ci` undoes it and a changed .taprc outdates it. */
function buildTap(): void {
  const config = readFileSync(join(root, '.taprc'), 'utf8')
  const stamp = join(root, 'node_modules/@tapjs/test/test-built/built-for.taprc')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === config) return
  say("building tap's plugins")
  const built = run(join(root, 'node_modules/.bin/tap'), ['build'])
  if (built.status !== 0) fail(`"tap build" failed: ${built.stdout}${built.stderr}`)
  writeFileSync(stamp, config)
}

function ensureRedis(): void {
  if (redisVersion() === undefined) install('redis-server')
  const version = redisVersion()
  const wanted = `redis-server ${oldestRedis.join('.')} or newer`
  if (version === undefined) {
    fail(
      `The tests need ${wanted}; install it (on Debian and Ubuntu: apt-get install redis-server) and try again.`
    )
  }
  const [major = 0, minor = 0] = version
  if (major < oldestRedis[0] || (major === oldestRedis[0] && minor < oldestRedis[1])) {
    fail(`The tests need ${wanted}; the one in PATH is ${major}.${minor}.`)
  }
}

function redisVersion(): number[] | undefined {
  const match = /v=(\d+)\.(\d+)/.exec(run('redis-server', ['--version']).stdout ?? '')
  return match ? [Number(match[1]), Number(match[2])] : undefined
}

/** The console blocks of the documents ask with curl. */
function ensureCurl(): void {
  const isThere = () => run('curl', ['--version']).status === 0
  if (!isThere()) install('curl')
  if (isThere()) return
  fail('The tests need curl; install it (on Debian and Ubuntu: apt-get install curl) and try again.')
}

/** Carries a cluster of Kafka brokers inside (librdkafka's mock cluster). */
function ensureKcat(): void {
  const isThere = () => run('kcat', ['-V']).status === 0
  if (!isThere()) install('kcat')
  if (isThere()) return
  fail('The tests need kcat; install it (on Debian and Ubuntu: apt-get install kcat) and try again.')
}

/** Installs a Debian package, where that can be done; whoever asked looks whether it was. */
function install(name: string): void {
  if (process.getuid?.() !== 0 || run('apt-get', ['--version']).status !== 0) return
  say(`${name} is not in PATH; installing it with apt-get`)
  withoutServices(() => {
    // Lists that are already there may do, so a failed update is not the end.
    if (run('apt-get', ['update']).status !== 0)
      say('apt-get update failed; trying the package lists at hand')
    const installed = run('apt-get', ['install', '-y', '--no-install-recommends', name])
    if (installed.status !== 0) say(`apt-get install failed: ${installed.stderr.trim().split('\n').at(-1)}`)
  })
}

/** The tests start servers of their own; the package must not leave a system service running behind them. */
function withoutServices(install: () => void): void {
  const ours = !existsSync(policy)
  const wasThere = existsSync(servicePid)
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    install()
  } finally {
    if (ours) rmSync(policy)
  }
  // A service that was not there before is the package's doing.
  const pid = !wasThere && existsSync(servicePid) ? Number(readFileSync(servicePid, 'utf8')) : 0
  if (pid > 1) process.kill(pid)
}

function run(command: string, args: readonly string[]): SpawnSyncReturns<string> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  return spawnSync(command, args, { cwd: root, env, encoding: 'utf8', timeout: 300_000 })
}

function say(text: string): void {
  process.stdout.write(`test set-up: ${text}\n`)
}

function fail(sentence: string): never {
  process.stderr.write(`test set-up: ${sentence}\n`)
  process.exit(1)
}
