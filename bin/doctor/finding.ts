/** One thing `toll doctor` looked at. `remedy` is the way out of a warning or a failure. */
export interface Finding {
  readonly name: string
  readonly status: 'ok' | 'warn' | 'fail'
  readonly sentence: string
  readonly remedy?: string
}

export const ok = (name: string, sentence: string): Finding => ({ name, status: 'ok', sentence })

export const warn = (name: string, sentence: string, remedy: string): Finding => ({
  name,
  status: 'warn',
  sentence,
  remedy
})

export const fail = (name: string, sentence: string, remedy: string): Finding => ({
  name,
  status: 'fail',
  sentence,
  remedy
})
