import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ask } from '../support/client.ts'
import { eventually } from '../support/own-process.ts'
import { runToll, serving } from '../support/running.ts'
import { httpUpstream } from '../support/upstream.ts'

/** A directory as the kubelet makes it for a ConfigMap, which it changes by swapping the link `..data`. */
class ConfigMap {
  readonly directory = mkdtempSync(join(tmpdir(), 'toll-map-'))
  #revision = 0

  get path(): string {
    return join(this.directory, 'gateway.config.json')
  }

  publish(text: string): void {
    const before = `..2026_${this.#revision}`
    this.#revision += 1
    const name = `..2026_${this.#revision}`
    mkdirSync(join(this.directory, name))
    writeFileSync(join(this.directory, name, 'gateway.config.json'), text)
    symlinkSync(name, join(this.directory, '..data_tmp'))
    renameSync(join(this.directory, '..data_tmp'), join(this.directory, '..data'))
    if (this.#revision === 1) symlinkSync(join('..data', 'gateway.config.json'), this.path)
    else rmSync(join(this.directory, before), { recursive: true })
  }
}

t.test(
  'a ConfigMap is swapped under load: each serves, a broken one does not, and no request is lost',
  async (t) => {
    const up = await httpUpstream(t, (_, response) => response.end('ok'))
    const map = new ConfigMap()
    const state = t.testdir({})
    t.teardown(() => rmSync(map.directory, { recursive: true, force: true }))
    const configOf = (...paths: string[]) =>
      JSON.stringify({
        listen: { public: '127.0.0.1:0', admin: '127.0.0.1:0' },
        shutdown: { timeout: '2s' },
        log: { access: false, format: 'json' },
        // The mount is read-only for the gateway: what it writes goes elsewhere.
        store: { driver: 'embedded', path: join(state, 'store') },
        services: { up: { nodes: [up.url] } },
        routes: ['always', ...paths].map((id) => ({ id, path: `/${id}`, service: 'up', auth: 'none' }))
      })
    map.publish(configOf())
    const running = runToll(t, ['start', '--config', map.path])
    const { origin, admin } = await serving(running)

    // 1. Requests all the while, over connections that stay open.
    const agent = new Agent({ keepAlive: true, maxSockets: 4 })
    const statuses = new Map<number | string, number>()
    const count = (status: number | string) => void statuses.set(status, (statuses.get(status) ?? 0) + 1)
    let isOver = false
    const get = () =>
      new Promise<void>((resolve) => {
        const asked = request(`${origin}/always`, { agent }, (response) => {
          count(response.statusCode ?? 0)
          response.resume().once('end', resolve)
        })
        asked.once('error', (error: NodeJS.ErrnoException) => {
          count(error.code ?? 'error')
          resolve()
        })
        asked.end()
      })
    const load = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (!isOver) await get()
      })
    )
    const figure = async (name: string) => {
      const { text } = await ask('GET', `${admin}/metrics`)
      return Number(new RegExp(`^tollkeeper_config_${name} (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
    }
    const refused = () => figure('reloads_total\\{outcome="refused"\\}')
    const isServed = async (path: string) => (await ask('GET', `${origin}/${path}`)).status === 200

    try {
      // 2. Each swap brings a route, and takes the one before away.
      for (let swap = 1; swap <= 4; swap += 1) {
        map.publish(configOf(`route-${swap}`))
        await eventually(`swap ${swap} is served`, () => isServed(`route-${swap}`))
        t.equal(await isServed(`route-${swap - 1}`), false)
      }
      t.equal(await figure('last_reload_successful'), 1)

      // 3. A broken one changes nothing, and is told.
      const wholes = ['{ "routes": [', configOf('route-4').replace('"service":"up"', '"service":"nobody"')]
      for (const [index, text] of wholes.entries()) {
        map.publish(text)
        await eventually('it is refused', async () => (await refused()) >= index + 1)
        t.equal(await figure('last_reload_successful'), 0)
        t.ok(await isServed('route-4'), 'the old one serves on')
        t.equal((await ask('GET', `${admin}/readyz`)).status, 200, 'and wants requests')
      }

      // 4. The next good one is taken.
      map.publish(configOf('route-5'))
      await eventually('the mended one is served', () => isServed('route-5'))
      await eventually('and it is told', async () => (await figure('last_reload_successful')) === 1)
    } finally {
      isOver = true
      await load
      agent.destroy()
    }
    t.same([...statuses.keys()], [200], 'every request got its answer')
    t.ok((statuses.get(200) ?? 0) > 100)
  }
)
