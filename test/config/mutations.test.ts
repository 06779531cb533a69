import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'jsonc-parser'
import t from 'tap'
import { stringify } from 'yaml'
import { checks, slices } from '../../app.ts'
import { loadConfig } from '../../config/config.ts'
import { renderMistakes } from '../../config/frame.ts'
import { ConfigError } from '../../config/mistake.ts'
import { root } from '../support/console.ts'

const json = readFileSync(join(root, 'gateway.config.json'), 'utf8')
const yaml = stringify(parse(json))
const scraps =
  '" { } [ ] , : \n \t - &a *a <<: ${ null 1 \\ é /* // # | > !!x ~ \r\n __proto__ constructor "a":'.split(
    ' '
  )

/** The same numbers in every run (Numerical Recipes' generator), so that a failure can be looked at again. */
function* numbers(seed: number): Generator<number, never> {
  let state = seed
  for (;;) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    yield state / 2 ** 32
  }
}

t.test('whatever is done to a config, it is loaded or refused at places inside of it', async (t) => {
  const random = numbers(20_26)
  const below = (bound: number): number => Math.floor(random.next().value * bound)
  let refused = 0
  for (let round = 0; round < 400; round++) {
    let text = round % 2 === 0 ? json : yaml
    for (let change = below(3); change >= 0; change--) {
      const at = below(text.length)
      text = text.slice(0, at) + (scraps[below(scraps.length * 1.3)] ?? '') + text.slice(at + below(12))
    }
    const path = round % 2 === 0 ? 'gateway.config.json' : 'gateway.config.yaml'
    const error: unknown = await loadConfig({ path, text, slices, checks, env: {} }).catch((reason) => reason)
    if (!(error instanceof Error)) continue
    if (!(error instanceof ConfigError)) throw error
    refused += 1
    const lines = text.split(/\r\n|\n|\r/)
    const outside = error.mistakes.filter(({ line, column, length }) => {
      const width = lines[line - 1]?.length ?? 0
      return column < 1 || length < 1 || column - 1 + length > Math.max(1, width)
    })
    if (outside.length > 0) t.fail(`round ${round}`, { outside, text })
    if (/undefined|\[object|NaN/.test(renderMistakes(error))) t.fail(renderMistakes(error), { text })
  }
  t.ok(refused > 200, `${refused} were refused`)
})
