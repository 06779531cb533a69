// How long requests take with and without a thousand slow clients. Run with `npm run bench:slow`.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SlowClients, waitsOf } from '../build/test/support/slow-clients.js'

const seconds = Number(process.argv[2] ?? 5)
const slowness = { heads: 400, silentBodies: 300, drippedBodies: 240, readers: 60 }
const toll = fileURLToPath(new URL('../build/bin/toll.js', import.meta.url))
const large = Buffer.alloc(16 * 1024 * 1024)

const upstream = createServer((request, response) => {
  request.resume().on('end', () => response.end(request.url === '/large' ? large : 'quick'))
})
upstream.on('connection', (socket) => socket.on('error', () => {}))
await once(upstream.listen(0, '127.0.0.1'), 'listening')
const directory = mkdtempSync(join(tmpdir(), 'tollkeeper-slow-'))
// Nobody is cut while it is measured: this is about those who wait beside them.
const config = {
  listen: {
    public: '127.0.0.1:0',
    admin: '127.0.0.1:0',
    connectionsPerAddress: 5000,
    timeouts: { head: '5m' }
  },
  store: { driver: 'embedded', path: 'store' },
  log: { access: false, format: 'json' },
  services: { up: { nodes: [`http://127.0.0.1:${upstream.address().port}`] } },
  routes: [{ id: 'all', path: '/*', service: 'up', auth: 'none' }]
}
for (const name of ['body', 'send']) config.listen.timeouts[name] = '5m'
writeFileSync(join(directory, 'gateway.config.json'), JSON.stringify(config))
const gateway = spawn(process.execPath, [toll, 'start'], { cwd: directory })
const ended = once(gateway, 'close')
try {
  const origin = await new Promise((resolve, reject) => {
    let out = ''
    gateway.stdout.on('data', (chunk) => {
      out += chunk
      const line = out.split('\n').find((one) => one.includes('"msg":"serving"'))
      if (line !== undefined) resolve(JSON.parse(line).public)
    })
    void ended.then(() => reject(new Error(`the gateway ended:\n${out}`)))
  })
  const measure = (length) => {
    const end = performance.now() + length * 1000
    return waitsOf(`${origin}/quick`, 4, () => performance.now() < end)
  }
  await measure(2)
  const print = (name, { count, failed, median, p99, longest }) =>
    process.stdout.write(
      `${name.padEnd(24)} ${count} requests, ${failed} failed; median ${median.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, longest ${longest.toFixed(2)} ms\n`
    )
  print('without slow clients', await measure(seconds))
  const slow = new SlowClients(origin, slowness, '/large')
  // They connect, and what a kernel holds of the large answers is filled.
  await measure(3)
  print(`with ${slow.open + slowness.readers} of them`, await measure(seconds))
  slow.close()
} finally {
  gateway.kill('SIGTERM')
  await ended
  upstream.close()
  upstream.closeAllConnections()
  rmSync(directory, { recursive: true, force: true })
}
