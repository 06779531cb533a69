import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { keep, keepFilesOf } from './evidence.ts'
import { plainNodeWith } from './toll.ts'

/** Whether time matters: to see what a process covers makes it start three times as slowly, and serve slower. */
const isTimed = ([command = '', action = '']: readonly string[]): boolean =>
  ['start', 'dev', 'demo'].includes(command) || action === 'drain'

const toll = fileURLToPath(new URL('../../bin/toll.js', import.meta.url))

/** A `toll` command that runs in a directory of its own. */
export interface Running {
  readonly child: ChildProcess
  readonly directory: string
  /** Everything written to standard output and standard error so far. */
  readonly output: { out: string; err: string }
  /** Exit code once it ended. */
  readonly ended: Promise<number | null>
  /** Resolves with the match as soon as the standard output has it; rejects when the process ends first. */
  seen(pattern: RegExp): Promise<RegExpExecArray>
}

/** Runs `toll` as a user would, in a fresh directory with these files; it is ended with the test. */
export function runToll(
  t: Test,
  args: readonly string[],
  files: Record<string, string> = {},
  env = {}
): Running {
  const directory = mkdtempSync(join(tmpdir(), 'toll-run-'))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  return runTollIn(t, directory, args, env)
}

/** The same in a directory that is there already and belongs to the test from now on. */
export function runTollIn(t: Test, directory: string, args: readonly string[], env = {}): Running {
  const [command, ...nodeArgs] = isTimed(args) ? plainNodeWith(env) : [process.execPath]
  const child = spawn(command, [...nodeArgs, toll, ...args], {
    cwd: directory,
    env: { ...process.env, ...env }
  })
  const output = { out: '', err: '' }
  const ended = once(child, 'close').then(([code]) => code as number | null)
  child.stdout.on('data', (chunk) => {
    output.out += chunk
  })
  child.stderr.on('data', (chunk) => {
    output.err += chunk
  })
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
    // Other commands show a key to whoever made it.
    if (isTimed(args)) {
      keep(output.out + output.err)
      if (!t.passing()) process.stderr.write(lastWords(args, output))
    }
    keepFilesOf(directory)
    rmSync(directory, { recursive: true, force: true })
  })
  const seen = (pattern: RegExp) =>
    new Promise<RegExpExecArray>((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(output.out)
        if (match !== null) resolve(match)
        return match !== null
      }
      if (look()) return
      child.stdout.on('data', look)
      void ended.then(
        () => look() || reject(new Error(`ended without ${pattern}:\n${output.out}${output.err}`))
      )
    })
  return { child, directory, output, ended, seen }
}

/** What a gateway said before a test of it failed, as comments among the test's own lines. */
const lastWords = (args: readonly string[], { out, err }: { out: string; err: string }): string =>
  [`toll ${args.join(' ')} said last:`, ...`${out}${err}`.trimEnd().split('\n').slice(-30)]
    .map((line) => `# ${line.slice(0, 400)}\n`)
    .join('')

/** Waits for the line that says where a gateway serves. */
export async function serving(running: Running): Promise<{ origin: string; admin: string }> {
  const [line] = await running.seen(/^\{.*"msg":"serving"\}$/m)
  const { public: origin, admin } = JSON.parse(line) as { public: string; admin: string }
  return { origin, admin }
}
