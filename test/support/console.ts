import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** One `$ command` of a console block, with the output that the document shows for it. */
export interface ConsoleStep {
  readonly line: number
  readonly command: string
  readonly expected: string
}

export interface ConsoleOptions {
  /** Working directory of the bash that runs the document. */
  readonly cwd: string
  /** What the document says -> what it is in this run: "127.0.0.1:8080" -> a free port. Turned round in the output. */
  readonly replace?: Readonly<Record<string, string>>
  readonly env?: NodeJS.ProcessEnv
  /** Milliseconds for one command. */
  readonly timeout?: number
}

export interface ConsoleResult extends ConsoleStep {
  readonly actual: string
  readonly isExpected: boolean
}

/** Root of the repository, seen from build/test/support. */
export const root = fileURLToPath(new URL('../../../', import.meta.url))

export const readDocument = (path: string): string => readFileSync(`${root}/${path}`, 'utf8')

/**
 * The commands of all ```console blocks of a Markdown document. A line that starts with "$ " is a command, lines that
 * start with "> " continue it, all others are its output.
 */
export function readConsole(markdown: string): ConsoleStep[] {
  const steps: { line: number; command: string; expected: string[] }[] = []
  let isInside = false
  for (const [index, text] of markdown.split('\n').entries()) {
    if (/^\s*```/.test(text)) {
      isInside = !isInside && /^\s*```console\s*$/.test(text)
      continue
    }
    if (!isInside) continue
    const step = steps.at(-1)
    if (text.startsWith('$ ')) steps.push({ line: index + 1, command: text.slice(2), expected: [] })
    else if (step === undefined) throw new Error(`line ${index + 1}: output before the first command`)
    else if (text.startsWith('> ') && step.expected.length === 0) step.command += `\n${text.slice(2)}`
    else step.expected.push(text)
  }
  return steps.map((step) => ({ ...step, expected: step.expected.join('\n').trim() }))
}

/** Runs the commands of a document one after the other in one bash, as a reader would, and compares what comes back. */
export async function runConsole(
  steps: readonly ConsoleStep[],
  options: ConsoleOptions
): Promise<ConsoleResult[]> {
  const shell = new Shell(options)
  const results: ConsoleResult[] = []
  try {
    for (const step of steps) {
      const actual = await shell.run(step.command)
      results.push({ ...step, actual, isExpected: matches(step.expected, actual) })
    }
  } finally {
    await shell.close()
  }
  return results
}

/** Whether the output is the expected one, "..." standing for anything: within a line, or, alone, for whole lines. */
export function matches(expected: string, actual: string): boolean {
  const source = expected
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
    .split('...')
    .map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('[^]*?')
  return new RegExp(`^${source}$`).test(
    actual
      .split('\n')
      .map((line) => line.trimEnd())
      .join('\n')
      .trim()
  )
}

class Shell {
  readonly #process: ChildProcessWithoutNullStreams
  readonly #replace: [string, string][]
  readonly #timeout: number
  #output = ''

  constructor({ cwd, replace = {}, env = {}, timeout = 20_000 }: ConsoleOptions) {
    this.#replace = Object.entries(replace)
    this.#timeout = timeout
    this.#process = spawn('bash', ['--noprofile', '--norc'], {
      cwd,
      env: { ...process.env, ...env },
      detached: true
    })
    this.#process.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text
    })
    // Node.js as a reader has it, without what tap puts into every one that a test starts.
    this.#process.stdin.write('exec 2>&1; unset NODE_OPTIONS\n')
  }

  async run(command: string): Promise<string> {
    const marker = `--${randomUUID()}`
    const real = this.#replace.reduce((text, [said, meant]) => text.replaceAll(said, meant), command)
    this.#output = ''
    // Its own empty input, or a command that reads stdin would swallow the next ones. The newline before the marker ends
    // output that has none of its own, such as curl's.
    this.#process.stdin.write(`{ ${real}\n} </dev/null\nprintf '\\n${marker}\\n'\n`)
    const deadline = Date.now() + this.#timeout
    while (!this.#output.includes(marker)) {
      if (Date.now() > deadline || this.#process.exitCode !== null)
        throw new Error(`no end of: ${command}\n${this.#output}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const output = this.#output.slice(0, this.#output.indexOf(marker)).trim()
    return this.#replace.reduce((text, [said, meant]) => text.replaceAll(meant, said), output)
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve))
    if (this.#process.exitCode !== null) return
    // The whole group: what a document leaves running in the background ends with it.
    process.kill(-this.#process.pid!, 'SIGTERM')
    this.#process.stdin.end()
    await ended
  }
}
