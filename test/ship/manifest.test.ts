import { readdirSync } from 'node:fs'
import t from 'tap'
import { parseAllDocuments } from 'yaml'
import { readDocument, root } from '../support/console.ts'

/** A YAML file whose shape the test states as it reads it. */
// biome-ignore lint/suspicious/noExplicitAny: manifests have no types here; a wrong path fails the assertion on it
type Manifest = any

function read(path: string): Manifest {
  const documents = parseAllDocuments(readDocument(path), { uniqueKeys: true })
  const mistakes = documents.flatMap((document) => ('errors' in document ? document.errors : []))
  if (mistakes.length > 0 || documents.length !== 1) throw new Error(`${path}: ${mistakes.join()}`)
  return documents[0]!.toJS()
}

const gatewayOf = (manifest: Manifest): Manifest =>
  [...(manifest.spec.template.spec.initContainers ?? []), ...manifest.spec.template.spec.containers].find(
    ({ name }: Manifest) => name === 'gateway'
  )

t.test('compose: the gateway and a durable Redis on a network of its own', async (t) => {
  const { services, networks, volumes } = read('deploy/compose.yaml')

  t.same(services.redis.networks, ['store'])
  t.equal(networks.store.internal, true)
  t.notOk(services.redis.ports, 'Redis is not published')
  t.match(services.redis.image, /^redis:7/)
  t.match(services.redis.command.join(' '), /--appendonly yes --requirepass \$\{REDIS_PASSWORD:\?/)
  t.ok(services.redis.volumes.includes('redis:/data') && 'redis' in volumes)

  t.same(services.gateway.networks, ['edge', 'store'])
  t.same(services.gateway.ports, ['8080:8080'], 'the admin listener is not published')
  t.equal(services.gateway.env_file, '.env', 'secrets come from a file that is not committed')
  t.notOk(services.gateway.environment)
  t.equal(services.gateway.depends_on.redis.condition, 'service_healthy')
  t.ok(services.gateway.volumes.includes('state:/var/lib/toll') && 'state' in volumes)

  for (const [name, service] of Object.entries<Manifest>(services)) {
    t.equal(service.read_only, true, `${name} cannot write to its image`)
    t.same(service.cap_drop, ['ALL'], `${name} has no capabilities`)
    t.same(service.security_opt, ['no-new-privileges:true'])
    t.ok(service.healthcheck.test.length > 1, `${name} has a health check`)
    t.match(service.image, /:(?!latest$)[^:]+$/, `${name} has a fixed tag`)
    t.equal(service.restart, 'unless-stopped')
  }
})

t.test('compose: no password is committed', async (t) => {
  t.match(readDocument('.gitignore'), /^\.env$/m)
  t.match(readDocument('deploy/example.env'), /^REDIS_PASSWORD=change-me$/m)
})

for (const path of ['deploy/kubernetes/deployment.yaml', 'deploy/kubernetes/sidecar.yaml']) {
  t.test(`${path}: probes, a graceful end and no privileges`, async (t) => {
    const manifest = read(path)
    const pod = manifest.spec.template.spec
    const gateway = gatewayOf(manifest)

    t.equal(manifest.apiVersion, 'apps/v1')
    t.equal(manifest.kind, 'Deployment')
    t.same(manifest.spec.selector.matchLabels, manifest.spec.template.metadata.labels)
    t.match(gateway, {
      startupProbe: { httpGet: { path: '/livez', port: 'admin' } },
      livenessProbe: { httpGet: { path: '/livez', port: 'admin' } },
      readinessProbe: { httpGet: { path: '/readyz', port: 'admin' } },
      resources: { requests: { cpu: String, memory: String }, limits: { memory: String } }
    })
    t.same(
      gateway.ports.map((port: Manifest) => [port.name, port.containerPort]),
      [
        ['http', 8080],
        ['admin', 8082]
      ]
    )

    const wait = Number(/setTimeout\(\(\)=>\{\},(\d+)\)/.exec(gateway.lifecycle.preStop.exec.command[2])?.[1])
    t.equal(gateway.lifecycle.preStop.exec.command[0], '/nodejs/bin/node', 'there is no shell in the image')
    t.ok(pod.terminationGracePeriodSeconds > wait / 1000 + 30, 'SIGKILL comes after preStop and the drain')

    t.match(pod.securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
    t.equal(pod.automountServiceAccountToken, false)
    for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
      t.match(container.securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] }
      })
      t.match(container.image, /:(?!latest$)[^:]+$/)
    }

    const volumes = pod.volumes.map(({ name }: Manifest) => name)
    for (const mount of gateway.volumeMounts) {
      t.ok(volumes.includes(mount.name), `${mount.name} is a volume`)
      t.notOk(mount.subPath, 'a subPath would never see a changed ConfigMap')
    }
    t.ok(
      gateway.volumeMounts.some((mount: Manifest) => mount.mountPath === '/var/lib/toll' && !mount.readOnly)
    )
    t.equal(pod.volumes.find(({ name }: Manifest) => name === 'secrets').secret.defaultMode, 0o440)
  })
}

t.test('the sidecar is a native one, and the Deployment loses no request in a roll-out', async (t) => {
  const sidecar = read('deploy/kubernetes/sidecar.yaml').spec.template.spec
  t.equal(sidecar.initContainers[0].restartPolicy, 'Always')
  const { spec } = read('deploy/kubernetes/deployment.yaml')
  t.notOk('replicas' in spec, 'how many there are is up to the autoscaler')
  const autoscaler = read('deploy/kubernetes/autoscaler.yaml').spec
  t.ok(autoscaler.minReplicas > 1)
  t.match(autoscaler.scaleTargetRef, { kind: 'Deployment', name: 'tollkeeper' })
  const budget = read('deploy/kubernetes/disruption-budget.yaml').spec
  t.ok(budget.maxUnavailable < autoscaler.minReplicas, 'an eviction leaves one that serves')
  t.same(spec.strategy.rollingUpdate, { maxSurge: 1, maxUnavailable: 0 })
})

t.test('the Service leads to the public port of the Deployment only', async (t) => {
  const service = read('deploy/kubernetes/service.yaml')
  const deployment = read('deploy/kubernetes/deployment.yaml')
  t.same(service.spec.selector, deployment.spec.selector.matchLabels)
  t.same(
    service.spec.ports.map((port: Manifest) => port.targetPort),
    ['http']
  )
})

t.test('each manifest is one of those tested here', async (t) => {
  t.same(readdirSync(`${root}/deploy/kubernetes`).sort(), [
    'autoscaler.yaml',
    'configmap.yaml',
    'deployment.yaml',
    'disruption-budget.yaml',
    'network-policy.yaml',
    'pod-monitor.yaml',
    'service.yaml',
    'sidecar.yaml'
  ])
})
