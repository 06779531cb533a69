import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parseAllDocuments } from 'yaml'
import { type GatewayConfig, loadGatewayConfig } from '../../app.ts'
import { readDocument, root } from '../support/console.ts'

process.env.REDIS_URL = 'redis://:secret@redis:6379'
const directory = mkdtempSync(join(tmpdir(), 'toll-configs-'))
t.teardown(() => rmSync(directory, { recursive: true }))

/** The config inside each ConfigMap, as the kubelet would put it into a directory. */
const maps = parseAllDocuments(readDocument('deploy/kubernetes/configmap.yaml')).map((document) => {
  const { metadata, data } = document.toJS() as { metadata: { name: string }; data: Record<string, string> }
  const path = join(directory, `${metadata.name}.json`)
  writeFileSync(path, data['gateway.config.json'] ?? '')
  return { name: metadata.name, path }
})

/** In a container: everybody may come in, state goes where it may be written, health can be asked from outside. */
function serveInContainer(t: Tap, { value }: GatewayConfig, users: string | undefined): void {
  t.same([value.listen.public, value.listen.admin], ['0.0.0.0:8080', '0.0.0.0:8082'])
  t.equal(value.store.driver, 'redis')
  t.equal(value.admin.tokenPath, '/var/lib/toll/admin-token')
  t.equal(value.auth?.users && 'path' in value.auth.users ? value.auth.users.path : undefined, users)
  t.notOk(value.runtime.enabled, 'a container starts no other programs')
  t.same(
    Object.values(value.services).filter(({ run }) => run !== undefined),
    []
  )
}
type Tap = { same(found: unknown, wanted: unknown): unknown } & Pick<typeof t, 'equal' | 'notOk'>

t.test('the configs of the ConfigMaps are the ones that the manifests mount, and load', async (t) => {
  t.same(
    maps.map(({ name }) => name),
    ['tollkeeper', 'tollkeeper-sidecar']
  )
  t.match(readDocument('deploy/kubernetes/deployment.yaml'), /configMap:\n\s+name: tollkeeper\n/)
  t.match(readDocument('deploy/kubernetes/sidecar.yaml'), /configMap:\n\s+name: tollkeeper-sidecar\n/)
  for (const { path } of maps) {
    const loaded = await loadGatewayConfig(path)
    serveInContainer(t, loaded, '/run/secrets/toll/users.json')
    t.equal(loaded.value.auth?.keys.path, '/run/secrets/toll/keys.json', 'replicas share their keys')
  }
})

t.test('the sidecar leads to the application in its own pod', async (t) => {
  const { value } = await loadGatewayConfig(maps[1]!.path)
  t.same(value.services.orders?.nodes, ['http://127.0.0.1:3000'])
})

t.test('the config of the compose file loads and leads to its service', async (t) => {
  const loaded = await loadGatewayConfig(join(root, 'deploy/gateway.config.json'))
  serveInContainer(t, loaded, 'users.json')
  t.same(loaded.value.services.hello?.nodes, ['http://hello:3000'])
  t.notMatch(JSON.stringify(loaded.redacted), 'secret@')
})

t.test('every config of the repository names its schema and loads without a warning', async (t) => {
  const configs = ['gateway.config.json', 'deploy/gateway.config.json'].concat(
    readdirSync(join(root, 'examples'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('gateway.config.json') && !path.includes('.toll'))
      .map((path) => `examples/${path}`)
  )
  t.ok(configs.length >= 6)
  for (const path of configs) {
    const { warnings } = await loadGatewayConfig(join(root, path))
    t.same(warnings, [], path)
    const schema = '../'.repeat(path.split('/').length - 1) || './'
    t.match(
      readDocument(path),
      new RegExp(`^\\{\\n {2}"\\$schema": "${schema.replaceAll('.', '\\.')}gateway\\.schema\\.json"`)
    )
  }
})
