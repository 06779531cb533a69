import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { type Candidate, candidates, hasSession } from './candidates.ts'
import { measure, otherCore, type Sample } from './measure.ts'
import { upstreamServer } from './nginx.ts'
import { plot } from './plot.ts'
import { Pinned } from './process.ts'
import { misses, type Result, tableOf } from './report.ts'
import { type Scenario, scenarios } from './scenarios.ts'
import { hasLua, obtain, obtainCurrent, obtainPeers } from './tools.ts'
import { makeWorkspace, put, type Workspace } from './workspace.ts'

/** `npm run bench`: what a request costs here and elsewhere, measured side by side on this machine. */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
const say = (line: string) => process.stderr.write(`${line}\n`)

interface Options {
  readonly rounds: string
  readonly seconds: string
  readonly only?: string
  readonly check?: boolean
  readonly write?: boolean
}

new Command('bench')
  .description('compare the CPU of a request with that of other gateways, in one run on this machine')
  .argument('[scenarios...]', scenarios.map(({ id, title }) => `${id} ${title}`).join('; '))
  .option('--rounds <count>', 'how often each candidate is measured, in turns', '3')
  .option('--seconds <count>', 'how long each measurement takes', '4')
  .option('--only <names>', 'compare with these only, separated by commas')
  .option('--check', 'fail where a target is missed by more than 15 %')
  .option('--write', 'keep tables and plot in docs/')
  .action(async (names: string[], options: Options) => {
    const chosen = scenariosOf(names)
    for (const name of ['rounds', 'seconds'] as const) {
      if (/^[1-9]\d*$/.test(options[name])) continue
      throw new Error(`"--${name}" takes a whole number from 1, not "${options[name]}".`)
    }
    if (availableParallelism() < 2)
      throw new Error('The benchmark needs two cores: one for the gateway, one for the rest.')
    process.exitCode = (await bench(chosen, options)) ? 0 : 1
  })
  .parseAsync()
  .catch((error: unknown) => {
    say((error as Error).message)
    process.exitCode = 1
  })

/** "S3" means all of its variants. Nothing said means all; a name that is none is a slip, not less to measure. */
function scenariosOf(names: readonly string[]): readonly Scenario[] {
  const isOf = (id: string, name: string): boolean => id === name || id.startsWith(`${name}-`)
  const unknown = names.find((name) => !scenarios.some(({ id }) => isOf(id, name)))
  if (unknown !== undefined) {
    throw new Error(
      `There is no scenario "${unknown}"; there are ${scenarios.map(({ id }) => id).join(', ')}.`
    )
  }
  return scenarios.filter(({ id }) => names.length === 0 || names.some((name) => isOf(id, name)))
}

async function bench(chosen: readonly Scenario[], options: Options): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), 'tollkeeper-bench-'))
  const running: Pinned[] = []
  const stop = async () => {
    await Promise.all(running.map((one) => one.stop()))
    rmSync(directory, { recursive: true, force: true })
  }
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, () => void stop().then(() => process.exit(130)))
  try {
    const rivals = setUp(directory, options)
    const workspace = await makeWorkspace(directory)
    await serve(workspace, running, chosen)
    const results: Result[] = []
    for (const scenario of chosen) {
      const result = await compare(workspace, scenario, rivals, options)
      results.push(result)
      process.stdout.write(`${tableOf(result, results)}\n`)
    }
    if (options.write === true) keep(results)
    return options.check !== true || check(results)
  } finally {
    await stop()
  }
}

/** The candidates that can run here; says which are left out. */
function setUp(directory: string, { only }: Options): readonly Candidate[] {
  const peers = join(directory, 'peers')
  const current = obtainCurrent(say)
  const all = candidates(root, peers, current)
  const wanted = only?.split(',').map((name) => name.trim())
  const unknown = wanted?.find((wish) => !all.some(({ name }) => name === wish))
  if (unknown !== undefined) {
    throw new Error(
      `There is no "${unknown}" to compare with; there are ${all.map(({ name }) => name).join(', ')}.`
    )
  }
  for (const tool of ['wrk', 'taskset', 'nginx', 'redis-server'] as const) {
    if (obtain(tool, say) === undefined)
      throw new Error(`The benchmark needs ${tool}; install it (apt-get install ${tool}).`)
  }
  if (!hasLua())
    throw new Error('The benchmark needs nginx with Lua; apt-get install libnginx-mod-http-lua lua-cjson.')
  const has = {
    nothing: true,
    nginx: true,
    lua: true,
    haproxy: obtain('haproxy', say) !== undefined,
    caddy: obtain('caddy', say) !== undefined,
    current: current !== undefined,
    peers: obtainPeers(join(root, 'bench/peers'), peers, say)
  }
  return all.filter(({ name, needs }) => {
    const isWanted = wanted === undefined || name === 'Tollkeeper' || wanted.includes(name)
    if (isWanted && !has[needs]) say(`${name} is left out: it cannot be installed here`)
    return isWanted && has[needs]
  })
}

async function serve(workspace: Workspace, running: Pinned[], chosen: readonly Scenario[]): Promise<void> {
  const { directory, ports, users } = workspace
  const upstream = new Pinned(upstreamServer(workspace), otherCore, `${directory}/upstream.out`)
  running.push(upstream)
  await upstream.listening(ports.upstream)
  if (!chosen.some(({ gate }) => hasSession(gate))) return
  const args = ['--port', String(ports.redis), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
  const redis = new Pinned(
    { command: 'redis-server', args: [...args, '--dir', directory] },
    otherCore,
    `${directory}/redis.out`
  )
  running.push(redis)
  await redis.listening(ports.redis)
  const input = put(
    workspace,
    'sessions.txt',
    users.map(({ session, name }) => `SET session:${session} ${name}\n`).join('')
  )
  execFileSync('sh', ['-c', `redis-cli -p ${ports.redis} < ${input}`], { stdio: 'ignore' })
}

/** Measures every candidate in turns, so that a slow moment of the machine meets all of them. */
async function compare(
  workspace: Workspace,
  scenario: Scenario,
  rivals: readonly Candidate[],
  { rounds, seconds }: Options
): Promise<Result> {
  const samples = new Map<string, Sample[]>()
  const able = rivals.filter(({ gates }) => gates.includes(scenario.gate))
  for (let round = 1; round <= Number(rounds); round++) {
    for (const candidate of able) {
      try {
        const sample = await measure(workspace, candidate, scenario, Number(seconds))
        samples.set(candidate.name, [...(samples.get(candidate.name) ?? []), sample])
        const figures = `${sample.cpu.toFixed(1).padStart(7)} us  ${sample.rate.toFixed(0).padStart(6)}/s`
        say(
          `${scenario.id} round ${round}/${rounds}  ${candidate.name.padEnd(14)} ${figures}  load ${loadavg()[0]!.toFixed(1)}`
        )
      } catch (error) {
        say(
          `${scenario.id} round ${round}/${rounds}  ${candidate.name.padEnd(14)} ${(error as Error).message}`
        )
      }
    }
  }
  return { scenario, samples }
}

function check(results: readonly Result[]): boolean {
  const missed = misses(results, 0.15)
  for (const { scenario, what, found, target } of missed) {
    say(
      `${scenario}: ${found.toFixed(2)} ${what}, and the target is ${target} (with 15 % slack ${(target * 1.15).toFixed(2)})`
    )
  }
  return missed.length === 0
}

/** Puts the tables and the plot where the documentation shows them. */
function keep(results: readonly Result[]): void {
  const docs = join(root, 'docs')
  mkdirSync(docs, { recursive: true })
  const where = `Node ${process.version}, ${new Date().toISOString().slice(0, 10)}`
  const intro = `# What a request costs\n\nMicroseconds of CPU a request, all threads, ${where}; written by \`npm run bench -- --write\`.\nCompare ratios within one run, never figures of two. "bare Node" is no gateway: it passes requests on, sends each message when it\nhas it, and leaves out what can be left out (timeouts, ids, logs, metrics, any doubt about framing); \`bench/peers/bare.mjs\`. It collects\nmessages whole, which S5 shows.\n\n![CPU per request](benchmark.svg)\n`
  writeFileSync(
    join(docs, 'benchmark.md'),
    `${intro}\n${results.map((result) => tableOf(result, results)).join('\n')}`
  )
  writeFileSync(join(docs, 'benchmark.svg'), plot(results, `CPU per request in microseconds, ${where}`))
}
