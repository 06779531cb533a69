import type { Turns } from './pace.ts'

/** Where something stands in a config file. Lines and columns count from 1; `length` stays on the line. */
export interface Place {
  readonly line: number
  readonly column: number
  readonly length: number
}

export type Severity = 'error' | 'warning'

/** One thing that is wrong with a config file, at one place of it. */
export interface Mistake extends Place {
  readonly file: string
  /** JSON pointer (RFC 6901) of the value or key that is wrong; '' is the whole file. */
  readonly pointer: string
  readonly severity: Severity
  readonly sentence: string
  /** What was probably meant: a key or a value that would be right here. */
  readonly suggestion?: string
}

/** How a check tells what it found. Pointers are JSON pointers into the config. */
export interface Report {
  error(pointer: string, sentence: string, suggestion?: string): void
  warning(pointer: string, sentence: string, suggestion?: string): void
}

/**
 * Looks at a whole config for what a schema cannot say (names that point nowhere, routes that hide each other).
 *
 * The parameter of a check is the part of the config it reads, as its schemas infer it; `never` lets each check name its own. A check
 * runs on the sound part of a config: array items in which the schema found mistakes are left out of what it sees. A `tolerant` check
 * gets everything, broken parts included, and has to look before it reads. A long one is a generator, and yields wherever others may
 * have their turn.
 */
export interface Check {
  // biome-ignore lint/suspicious/noConfusingVoidType: most checks are short and return nothing
  (config: never, report: Report): void | Turns
  readonly tolerant?: true
}

/** A config that was refused, whole, with everything that is wrong with it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly mistakes: readonly Mistake[]
  /** The file as it was read, secrets masked, for the code frames. */
  readonly text: string | undefined
  /** Files the config names with `${file:}`: the mistake may be in one of them, so they are worth watching too. */
  readonly files: readonly string[]

  constructor(mistakes: readonly Mistake[], text?: string, files: readonly string[] = []) {
    const errors = mistakes.filter(({ severity }) => severity === 'error')
    const [first] = errors
    super(
      first === undefined
        ? 'The config is refused.'
        : `${first.file}:${first.line}:${first.column} ${first.sentence}${errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''}`
    )
    this.mistakes = mistakes
    this.text = text
    this.files = files
  }
}
