import { ConfigError, type Mistake, type Report, type Severity } from './mistake.ts'
import type { Pace } from './pace.ts'
import { maskText } from './redact.ts'
import type { Aim, Source } from './source.ts'
import type { Finding } from './validate.ts'

/** Collects what is wrong, at places of one source, without ever saying what came from outside of it. */
export class Findings {
  readonly #source: Source
  readonly #found: Mistake[] = []
  #inserted: readonly (readonly [string, string])[] = []

  constructor(source: Source) {
    this.#source = source
  }

  get hasErrors(): boolean {
    return this.#found.some(({ severity }) => severity === 'error')
  }

  get pointers(): readonly string[] {
    return this.#found.map(({ pointer }) => pointer)
  }

  /** Short values ("8080", "true") are no secrets and would turn up in sentences by chance. */
  hide(inserted: ReadonlyMap<string, string>): void {
    this.#inserted = [...inserted].filter(([value]) => value.length >= 6)
  }

  addFlaw(
    pointer: string,
    flaw: { start: number; end: number; sentence: string; suggestion?: string }
  ): void {
    const { sentence, suggestion } = flaw
    this.#push({ ...this.#source.place(flaw), pointer, severity: 'error', sentence }, suggestion)
  }

  /** What a schema says about a place that is known to be wrong already adds nothing. */
  async addAll(findings: readonly Finding[], pace: Pace): Promise<void> {
    const known = new Set(this.pointers)
    for (const { pointer, aim, sentence, suggestion } of findings) {
      if (!known.has(pointer)) this.#add(pointer, aim, 'error', sentence, suggestion)
      if (pace.isDue) await pace.rest()
    }
  }

  report(original: (pointer: string) => string = (pointer) => pointer): Report {
    return {
      error: (pointer, sentence, suggestion) =>
        this.#add(original(pointer), 'entry', 'error', sentence, suggestion),
      warning: (pointer, sentence, suggestion) =>
        this.#add(original(pointer), 'entry', 'warning', sentence, suggestion)
    }
  }

  /** In the order of the file. Warnings beside errors may come from what is broken, and wait. */
  mistakes(): readonly Mistake[] {
    const told = this.hasErrors ? this.#found.filter(({ severity }) => severity === 'error') : this.#found
    return told.sort((left, right) => left.line - right.line || left.column - right.column)
  }

  error(text?: string, files?: readonly string[]): ConfigError {
    return new ConfigError(this.mistakes(), text ?? maskText(this.#source, undefined), files)
  }

  #add(pointer: string, aim: Aim, severity: Severity, sentence: string, suggestion?: string): void {
    this.#push({ ...this.#source.locate(pointer, aim), pointer, severity, sentence }, suggestion)
  }

  #push(mistake: Omit<Mistake, 'file' | 'suggestion'>, suggestion: string | undefined): void {
    const { sentence, ...rest } = mistake
    const meant = suggestion === undefined ? {} : { suggestion: this.#scrub(suggestion) }
    this.#found.push({ file: this.#source.file, ...rest, sentence: this.#scrub(sentence), ...meant })
  }

  #scrub(words: string): string {
    return this.#inserted.reduce((text, [value, label]) => text.replaceAll(value, () => label), words)
  }
}
