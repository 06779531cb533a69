import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { loadGatewayConfig } from '../../app.ts'
import { ConfigError, type Mistake } from '../../config/mistake.ts'
import { root } from '../support/console.ts'

/** What is wrong with a list of sinks, as "place: sentence", errors and warnings. */
async function mistakesOf(t: Test, sinks: readonly object[]): Promise<string[]> {
  const directory = t.testdir({ 'gateway.config.json': JSON.stringify({ log: { sinks } }, undefined, 2) })
  const shown = (mistakes: readonly Mistake[]) =>
    mistakes.map(({ pointer, sentence }) => `${pointer.replace('/log/sinks/', '')}: ${sentence}`)
  try {
    const { warnings } = await loadGatewayConfig(join(directory, 'gateway.config.json'))
    return shown(warnings)
  } catch (error) {
    if (error instanceof ConfigError) return shown(error.mistakes)
    throw error
  }
}

const file = { name: 'a', kind: 'file', path: 'a.log' }
const kafka = { name: 'a', kind: 'kafka', brokers: ['127.0.0.1:9092'], topic: 'access' }
const http = { name: 'a', kind: 'http', url: 'https://logs.example/in' }
const syslog = { name: 'a', kind: 'syslog', address: '127.0.0.1:514' }

t.test('sinks of every kind are fine with what they cannot do without', async (t) => {
  const named = [file, kafka, http, syslog].map((sink, index) => ({ ...sink, name: `s${index}` }))
  t.same(await mistakesOf(t, named), [])
})

t.test('each mistake has its place and its sentence', async (t) => {
  const cases: [sink: object, ...mistakes: string[]][] = [
    [{ ...file, queue: { maxBytes: '1KiB' } }, '0/queue/maxBytes: a queue holds 16KiB to 1GiB'],
    [{ ...file, batch: { maxBytes: '1B' } }, '0/batch/maxBytes: a batch may be as large as 1KiB at least'],
    [{ ...file, batch: { linger: '2m' } }, '0/batch/linger: a line waits for others 1m at most'],
    [{ ...file, timeout: '10ms' }, '0/timeout: a batch has 100ms to 5m'],
    [{ ...file, flush: '2m' }, '0/flush: the gateway waits 1m at most'],
    [
      { ...file, kind: 'fiel' },
      '0/kind: log.sinks[0].kind must be "file", "kafka", "http" or "syslog", not the string "fiel"'
    ],
    [{ ...kafka, brokers: ['127.0.0.1:99999'] }, '0/brokers/0: a port is a number from 1 to 65535'],
    [
      { ...kafka, compression: 'snappy' },
      '0/compression: log.sinks[0].compression must be "none" or "gzip", not the string "snappy"'
    ],
    [
      { ...kafka, sasl: { mechanism: 'plain', username: 'a', password: 'b' } },
      '0/sasl/mechanism: "plain" sends the password as it is, and there is no "tls"'
    ],
    [{ ...kafka, tls: { cert: 'a.pem' } }, '0/tls/cert: a certificate is of no use without its "key"'],
    [{ ...http, tls: { key: 'a.pem' } }, '0/tls/key: a key is of no use without its "cert"'],
    [{ ...http, url: 'http://logs.example' }, '0/url: lines and headers go there unencrypted'],
    [
      { ...http, url: 'http://127.0.0.1:1', tls: {} },
      '0/tls: the URL begins with http://, so there is no TLS'
    ],
    [{ ...http, url: 'https://user@logs.example' }, '0/url: credentials go into "headers", not into the URL'],
    [
      { ...http, headers: { 'Content-Length': '1' } },
      '0/headers/Content-Length: the gateway sets "Content-Length" itself'
    ],
    [{ ...syslog, tls: {} }, '0/tls: this is for the transport "tls"'],
    [{ ...syslog, address: '127.0.0.1:0' }, '0/address: a port is a number from 1 to 65535']
  ]
  for (const [sink, ...expected] of cases) t.same(await mistakesOf(t, [sink]), expected, JSON.stringify(sink))
})

t.test('two sinks have two names and two files', async (t) => {
  t.same(await mistakesOf(t, [file, { ...file, path: './b/../a.log' }]), [
    '1/name: there is a sink "a" already',
    '1/path: the sink "a" writes to this file already'
  ])
})

t.test('secrets of sinks are never shown', async (t) => {
  const directory = t.testdir({
    'gateway.config.json': JSON.stringify({
      log: {
        sinks: [
          {
            ...http,
            url: 'https://logs.example/in?key=url-secret',
            headers: { authorization: 'Bearer header-secret' }
          },
          {
            ...kafka,
            name: 'b',
            tls: {},
            sasl: { mechanism: 'plain', username: 'ada', password: 'sasl-secret' }
          }
        ]
      }
    })
  })
  const { redacted } = await loadGatewayConfig(join(directory, 'gateway.config.json'))
  t.notMatch(JSON.stringify(redacted), 'secret"')
  t.notMatch(JSON.stringify(redacted), /-secret/)
})

/** The `toll` command as it is installed without the packages it can do without. */
function withoutKafka(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'toll-bare-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  cpSync(join(root, 'package.json'), join(directory, 'package.json'))
  const isTest = /\/build\/(test|bench)(\/|$)/
  cpSync(join(root, 'build'), join(directory, 'build'), {
    recursive: true,
    filter: (path) => !isTest.test(path)
  })
  mkdirSync(join(directory, 'node_modules'))
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name !== 'kafkajs')
      symlinkSync(join(root, 'node_modules', name), join(directory, 'node_modules', name))
  }
  return join(directory, 'build/bin/toll.js')
}

t.test(
  'without the Kafka client a sink for Kafka is a mistake, and every other config is none',
  async (t) => {
    const toll = withoutKafka(t)
    const check = (config: object) => {
      const directory = mkdtempSync(join(tmpdir(), 'toll-check-'))
      t.teardown(() => rmSync(directory, { recursive: true, force: true }))
      writeFileSync(join(directory, 'gateway.config.json'), JSON.stringify(config, undefined, 2))
      return new Promise<{ code: unknown; output: string }>((resolve) => {
        execFile(process.execPath, [toll, 'check'], { cwd: directory }, (error, stdout, stderr) =>
          resolve({ code: error?.code ?? 0, output: stdout + stderr })
        )
      })
    }
    const refused = await check({ log: { sinks: [kafka] } })
    t.equal(refused.code, 2)
    t.match(
      refused.output,
      /^gateway\.config\.json:6:17 {2}error the package "kafkajs" is not installed; install it with "npm install kafkajs@2"$/m
    )
    t.match(await check({ log: { sinks: [file] } }), { code: 0 })
  }
)
