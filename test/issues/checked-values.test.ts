import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadGatewayConfig } from '../../app.ts'
import { marked, placeOf, refusalOf } from '../support/config.ts'

const directory = mkdtempSync(join(tmpdir(), 'toll-values-'))
const path = join(directory, 'gateway.config.json')
t.teardown(() => rmSync(directory, { recursive: true, force: true }))

const config = (keys: string, methods = '[]') =>
  `{ ${keys} "services": { "a": { "nodes": ["http://127.0.0.1:1"] } }, "routes": [{ "id": "a", "path": "/a", "methods": ${methods}, "service": "a" }] }`

const cases: Readonly<Record<string, readonly [string, RegExp, string?]>> = {
  'a port that there is not': [config('"listen": { "public": «"127.0.0.1:65536" },'), /^listen\.public /],
  'access tokens that are over at once': [
    config('"auth": { "access": «"0s" },'),
    /auth\.access has to be 1s or more/
  ],
  'sessions that are over at once': [
    config('"auth": { "idle": «"10ms" },'),
    /auth\.idle has to be 1s or more/
  ],
  'the user in a header of the message': [
    config('"auth": { "headers": { "user": «"Host" } },'),
    /"Host" is about the message/
  ],
  'two things in one header': [
    config('"auth": { "headers": { "user": "x-who", "scopes": «"X_Who" } },'),
    /"X_Who" tells auth\.headers\.user already/
  ],
  'a method that no client can send': [config('', '["GET", «"PSOT"]'), /no HTTP method "PSOT"/, 'POST']
}

for (const [name, [text, says, means]] of Object.entries(cases)) {
  t.test(`refuses ${name}, and names the place`, async (t) => {
    const { text: plain, places } = marked(text)
    writeFileSync(path, plain)
    const { mistakes } = await refusalOf(loadGatewayConfig(path))
    const errors = mistakes.filter(({ severity }) => severity === 'error')
    t.equal(errors.length, 1)
    t.match(errors[0]!.sentence, says)
    t.equal(errors[0]!.suggestion, means)
    t.same(errors.map(placeOf), places)
  })
}
