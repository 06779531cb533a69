import { createRequire } from 'node:module'
import type { RE2JS } from 're2js'

/** Answers remembered, at most; clients send the same few user agents over and over. */
const remembered = 5000

/**
 * Whether any of some patterns is found in a text. RE2 takes time in proportion to the text, whatever the pattern and whoever wrote the
 * text; answers are remembered, so most texts are a look-up.
 */
export class Patterns {
  readonly #patterns: readonly RE2JS[]
  #known = new Map<string, boolean>()

  /** Throws what is wrong with the first pattern that RE2 does not take. */
  constructor(written: readonly string[]) {
    this.#patterns = written.map(compile)
  }

  get isEmpty(): boolean {
    return this.#patterns.length === 0
  }

  test(text: string): boolean {
    let isFound = this.#known.get(text)
    if (isFound === undefined) {
      isFound = this.#patterns.some((pattern) => pattern.matcher(text).find())
      if (this.#known.size >= remembered) this.#known = new Map()
      this.#known.set(text, isFound)
    }
    return isFound
  }
}

/** Loaded with the first pattern: most configs have none, and it takes a tenth of the time a gateway takes to start. */
let engine: typeof RE2JS | undefined

function compile(written: string): RE2JS {
  engine ??= (createRequire(import.meta.url)('re2js') as { RE2JS: typeof RE2JS }).RE2JS
  return engine.compile(written, engine.CASE_INSENSITIVE)
}

/** What is wrong with a pattern, without a stop; undefined for one that RE2 takes. */
export function mistakeIn(written: string): string | undefined {
  try {
    compile(written)
    return undefined
  } catch (error) {
    return (error as Error).message.replace(/^error parsing regexp: /, '').replace(/\.$/, '')
  }
}
