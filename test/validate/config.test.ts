import t from 'tap'
import { type ConfigError, ConfigError as Refused } from '../../config/mistake.ts'
import { startGateway } from '../support/gateway.ts'
import { configFor } from '../support/upstream.ts'

const bad: [why: string, validate: object, pointer: string, sentence: RegExp][] = [
  [
    'an unknown keyword',
    { body: { properties: { a: { minimun: 1 } } } },
    '/body/properties/a/minimun',
    /no keyword/
  ],
  [
    'an unknown format',
    { body: { properties: { a: { format: 'colour' } } } },
    '/body/properties/a/format',
    /"colour"/
  ],
  [
    'a wrong type',
    { body: { properties: { a: { type: 'text' } } } },
    '/body/properties/a/type',
    /no JSON Schema/
  ],
  ['a pattern that is none', { body: { pattern: '(' } }, '/body/pattern', /regular expression/],
  ['a reference into nothing', { body: { items: { $ref: '#/$defs/x' } } }, '/body/items/$ref', /nothing is/],
  ['a remote reference', { body: { $ref: 'http://x.example/s.json' } }, '/body/$ref', /nothing is fetched/],
  ['a reference to itself', { body: { allOf: [{ $ref: '#' }] } }, '/body', /without end/],
  ['a schema that answers later', { body: { $async: true } }, '/body/$async', /not taken/],
  [
    'an unknown draft',
    { body: { $schema: 'http://json-schema.org/draft-04/schema#' } },
    '/body/$schema',
    /2020-12/
  ],
  ['costly uniqueness', { body: { items: {}, uniqueItems: true } }, '/body/uniqueItems', /maxItems/],
  ['a parameter that the path lacks', { params: { properties: { x: {} } } }, '/params/properties/x', /":x"/],
  ['a header in capitals', { headers: { required: ['X-A'] } }, '/headers/required/0', /lower case/],
  ['no schema at all', {}, '', /none of/],
  ['a content type that is not JSON', { body: {}, contentTypes: ['text/xml'] }, '/contentTypes/0', /./]
]

for (const [why, validate, pointer, sentence] of bad) {
  t.test(`${why} refuses the config, at its place`, async (t) => {
    const config = configFor(['http://127.0.0.1:1'], { route: { path: '/a/:id', maxBody: '1MiB', validate } })
    const error = await startGateway(t, config).then(
      () => undefined,
      (error: ConfigError) => error
    )
    t.type(error, Refused)
    const errors = error?.mistakes.filter(({ severity }) => severity === 'error') ?? []
    t.equal(errors.length, 1)
    t.equal(errors[0]?.pointer, `/routes/0/validate${pointer}`)
    t.match(errors[0]?.sentence, sentence)
    t.ok((errors[0]?.line ?? 0) > 1)
  })
}

t.test('both drafts are known, each by its own rules', async (t) => {
  const at = (body: object) =>
    startGateway(t, configFor(['http://127.0.0.1:1'], { route: { maxBody: '1MiB', validate: { body } } }))
  await at({ $schema: 'http://json-schema.org/draft-07/schema#', items: [{ type: 'string' }] })
  await at({ $schema: 'https://json-schema.org/draft/2020-12/schema', prefixItems: [{ type: 'string' }] })
  await at({ type: 'object', properties: { next: { $ref: '#' } } })
  await at({ $schema: 'http://json-schema.org/draft-07/schema#', items: { $ref: '#' } })
  await at({ $defs: { a: { items: { $ref: '#/$defs/a' } } }, $ref: '#/$defs/a' })
})
