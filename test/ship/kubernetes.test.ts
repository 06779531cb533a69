import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import t from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { loadGatewayConfig } from '../../app.ts'
import { toMilliseconds } from '../../config/units.ts'
import { readDocument, root } from '../support/console.ts'
import { merged, renderChart } from '../support/helm.ts'
import { plainNode } from '../support/toll.ts'

/** A manifest whose shape the test states as it reads it. */
// biome-ignore lint/suspicious/noExplicitAny: the compiler checks manifests below; a wrong path fails the assertion on it
type Manifest = any

process.env.REDIS_URL = 'redis://:secret@redis:6379'
const chart = join(root, 'deploy/helm/tollkeeper')

/** Where Kubernetes has the types of what is used here. */
const types: Readonly<Record<string, string>> = {
  'v1 ConfigMap': 'core/v1',
  'v1 Service': 'core/v1',
  'apps/v1 Deployment': 'apps/v1',
  'autoscaling/v2 HorizontalPodAutoscaler': 'autoscaling/v2',
  'policy/v1 PodDisruptionBudget': 'policy/v1',
  'networking.k8s.io/v1 NetworkPolicy': 'networking/v1'
}

/** What the compiler finds wrong with manifests: a field that there is not, one that is missing, a value of another type. */
function mistakesIn(manifests: readonly Manifest[]): string {
  // Inside of the project, so that the types are found.
  const directory = join(root, '.tap', `manifests-${process.pid}`)
  mkdirSync(directory, { recursive: true })
  try {
    const lines = manifests.map((manifest, index) => {
      const { apiVersion, kind } = manifest
      const place = types[`${apiVersion} ${kind}`]
      if (place === undefined) throw new Error(`no types are known for ${apiVersion} ${kind}`)
      return (
        `import type { ${kind} as Kind${index} } from 'kubernetes-types/${place}'\n` +
        `export const manifest${index}: Kind${index} = ${JSON.stringify(manifest, undefined, 2)}\n`
      )
    })
    writeFileSync(join(directory, 'manifests.ts'), lines.join(''))
    const options = ['--noEmit', '--strict', '--module', 'preserve', '--types', 'node', '--ignoreConfig']
    const compiler = join(root, 'node_modules/.bin/tsc')
    const [command, ...nodeArgs] = plainNode
    execFileSync(command, [...nodeArgs, compiler, ...options, join(directory, 'manifests.ts')], {
      encoding: 'utf8',
      stdio: 'pipe'
    })
    return ''
  } catch (error) {
    const { stdout } = error as { stdout?: string }
    if (!stdout) throw error
    return stdout
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

const plain: Manifest[] = readdirSync(join(root, 'deploy/kubernetes')).flatMap((file) =>
  parseAllDocuments(readDocument(`deploy/kubernetes/${file}`), { uniqueKeys: true }).map((document) => {
    if ('errors' in document && document.errors.length > 0) throw document.errors[0]
    return document.toJS()
  })
)
const isCustom = ({ apiVersion }: Manifest) => apiVersion.startsWith('monitoring.coreos.com/')

/** Values of somebody who sets everything. */
const everything = {
  image: { repository: 'registry.example/tollkeeper', tag: '0.1.1', pullPolicy: 'Always' },
  autoscaling: { enabled: false },
  replicas: 3,
  disruptionBudget: { maxUnavailable: '50%' },
  podMonitor: { enabled: true, interval: '15s' },
  service: { type: 'LoadBalancer', port: 443 },
  secret: { name: 'gateway-secrets', env: ['REDIS_URL', 'SMTP_PASSWORD'], files: ['users.json'] },
  podLabels: { team: 'edge' },
  podAnnotations: { 'example.com/note': 'yes: "quoted"' },
  nodeSelector: { 'kubernetes.io/arch': 'amd64' },
  tolerations: [{ key: 'edge', operator: 'Exists', effect: 'NoSchedule' }],
  affinity: {
    podAntiAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        {
          topologyKey: 'kubernetes.io/hostname',
          labelSelector: { matchLabels: { 'app.kubernetes.io/instance': 'edge' } }
        }
      ]
    }
  }
}
const rendered = renderChart(chart, 'edge')
const renderedWhole = renderChart(chart, 'edge', everything)

t.test('Kubernetes knows every field of the manifests and of what the chart renders', async (t) => {
  const all: Manifest[] = [...plain, ...rendered.values(), ...renderedWhole.values()]
  t.equal(mistakesIn(all.filter((one) => !isCustom(one))), '')
  t.same(new Set(all.filter(isCustom).map(({ kind }) => kind)), new Set(['PodMonitor']))

  const deployment = plain.find(({ kind }) => kind === 'Deployment')
  const wrong: Record<string, (pod: Manifest, spec: Manifest) => void> = {
    readinesProbe: (pod) => {
      pod.containers[0].readinesProbe = {}
    },
    "Type 'string' is not assignable": (pod) => {
      pod.terminationGracePeriodSeconds = '45'
    },
    "Property 'template' is missing": (_, spec) => {
      delete spec.template
    }
  }
  for (const [said, spoil] of Object.entries(wrong)) {
    const spoilt = structuredClone(deployment)
    spoil(spoilt.spec.template.spec, spoilt.spec)
    t.match(mistakesIn([spoilt]), said)
  }
})

t.test('the chart renders what the plain manifests are', async (t) => {
  const kinds = (manifests: Iterable<Manifest>) => [...manifests].map(({ kind }) => kind).sort()
  t.same(kinds(rendered.values()), [
    'ConfigMap',
    'Deployment',
    'HorizontalPodAutoscaler',
    'NetworkPolicy',
    'PodDisruptionBudget',
    'Service'
  ])
  t.same(
    kinds(renderedWhole.values()),
    ['ConfigMap', 'Deployment', 'NetworkPolicy', 'PodDisruptionBudget', 'PodMonitor', 'Service'],
    'no autoscaler, and a monitor'
  )
  const pod = (deployment: Manifest) => deployment.spec.template.spec
  const own = pod(plain.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'tollkeeper'))
  const its = pod(rendered.get('deployment.yaml'))
  t.same(its.securityContext, own.securityContext)
  t.equal(its.terminationGracePeriodSeconds, own.terminationGracePeriodSeconds)
  for (const part of ['ports', 'startupProbe', 'livenessProbe', 'readinessProbe', 'lifecycle']) {
    t.same(its.containers[0][part], own.containers[0][part], part)
  }
  for (const part of ['securityContext', 'volumeMounts', 'resources']) {
    t.same(its.containers[0][part], own.containers[0][part], part)
  }
  t.same(
    its.volumes.map(({ name }: Manifest) => name),
    own.volumes.map(({ name }: Manifest) => name)
  )
})

t.test('values reach where they belong', async (t) => {
  const get = (file: string): Manifest => renderedWhole.get(file)
  const { spec } = get('deployment.yaml')
  t.equal(spec.replicas, 3)
  t.notOk('replicas' in (rendered.get('deployment.yaml') as Manifest).spec, 'the autoscaler has the say')
  const [gateway] = spec.template.spec.containers
  t.equal(gateway.image, 'registry.example/tollkeeper:0.1.1')
  t.equal(
    (rendered.get('deployment.yaml') as Manifest).spec.template.spec.containers[0].image,
    'tollkeeper:0.1.0'
  )
  t.same(
    gateway.env.flatMap(({ name, valueFrom }: Manifest) =>
      valueFrom === undefined ? [] : [[name, valueFrom.secretKeyRef.name, valueFrom.secretKeyRef.key]]
    ),
    [
      ['REDIS_URL', 'gateway-secrets', 'REDIS_URL'],
      ['SMTP_PASSWORD', 'gateway-secrets', 'SMTP_PASSWORD']
    ]
  )
  t.same(spec.template.metadata.labels.team, 'edge')
  t.same(spec.template.metadata.annotations, everything.podAnnotations)
  t.same(spec.template.spec.tolerations, everything.tolerations)
  t.same(spec.template.spec.affinity, everything.affinity)
  for (const [label, value] of Object.entries(spec.selector.matchLabels)) {
    t.equal(spec.template.metadata.labels[label], value, 'the Deployment finds its pods')
    t.equal(get('service.yaml').spec.selector[label], value)
    t.equal(get('network-policy.yaml').spec.podSelector.matchLabels[label], value)
    t.equal(get('disruption-budget.yaml').spec.selector.matchLabels[label], value)
    t.equal(get('pod-monitor.yaml').spec.selector.matchLabels[label], value)
  }
  t.equal(get('disruption-budget.yaml').spec.maxUnavailable, '50%')
  t.match(get('service.yaml').spec, { type: 'LoadBalancer', ports: [{ port: 443, targetPort: 'http' }] })
})

t.test('the admin port is open to the namespace of the monitoring only', async (t) => {
  const policies = [...plain, ...rendered.values()].filter(({ kind }: Manifest) => kind === 'NetworkPolicy')
  t.equal(policies.length, 2)
  for (const { spec } of policies) {
    t.same(spec.policyTypes, ['Ingress'])
    t.same(spec.ingress, [
      { ports: [{ port: 'http' }] },
      {
        from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }],
        ports: [{ port: 'admin' }]
      }
    ])
  }
  for (const { spec } of [...plain, ...rendered.values()].filter(
    ({ kind }: Manifest) => kind === 'Service'
  )) {
    t.same(
      spec.ports.map(({ targetPort }: Manifest) => targetPort),
      ['http']
    )
  }
})

t.test('the config of the chart is one that the gateway takes, and it ends within the grace', async (t) => {
  const path = join(t.testdir({}), 'gateway.config.json')
  const { data } = rendered.get('configmap.yaml') as Manifest
  writeFileSync(path, data['gateway.config.json'])
  const { value, warnings } = await loadGatewayConfig(path)
  t.same(warnings, [])
  t.same([value.listen.public, value.listen.admin], ['0.0.0.0:8080', '0.0.0.0:8082'])
  const { preStop, grace } = parse(readDocument('deploy/helm/tollkeeper/values.yaml')).shutdown
  const { delay, timeout } = value.shutdown
  t.ok(grace > preStop + (toMilliseconds(delay) + toMilliseconds(timeout)) / 1000)
  t.equal(
    parse(readDocument('deploy/helm/tollkeeper/Chart.yaml')).appVersion,
    JSON.parse(readDocument('package.json')).version
  )
})

t.test('the schema takes the values as they are and refuses what would fail later', async (t) => {
  const validate = new Ajv({ strict: true, allErrors: true, allowUnionTypes: true }).compile(
    JSON.parse(readDocument('deploy/helm/tollkeeper/values.schema.json'))
  )
  const values = parse(readDocument('deploy/helm/tollkeeper/values.yaml'))
  const isTaken = (over: unknown) => validate(merged(values, over))
  t.ok(isTaken({}), JSON.stringify(validate.errors))
  t.ok(isTaken(everything), JSON.stringify(validate.errors))
  const refused: readonly (readonly [string, unknown])[] = [
    ['a misspelt key', { replica: 3 }],
    ['a misspelt key further in', { autoscaling: { maxReplica: 3 } }],
    ['no pods at all', { replicas: 0 }],
    ['text for a number', { replicas: '3' }],
    ['a tag that moves', { image: { tag: 'latest' } }],
    ['no image', { image: { repository: '' } }],
    ['a name that no environment variable can have', { secret: { env: ['redis-url'] } }],
    ['a file elsewhere', { secret: { files: ['../users.json'] } }],
    ['a config without routes', { config: { routes: null } }],
    ['a listener that nobody can probe', { config: { listen: { admin: '127.0.0.1:8082' } } }],
    ['a port that the manifests do not have', { config: { listen: { public: '0.0.0.0:80' } } }],
    ['all pods evicted', { disruptionBudget: { maxUnavailable: '100%' } }],
    ['none ever evicted', { disruptionBudget: { maxUnavailable: 0 } }],
    ['a namespace that is none', { networkPolicy: { monitoringNamespace: 'Monitoring' } }],
    ['an interval that is none', { podMonitor: { interval: 'often' } }],
    ['a port that is none', { service: { port: 70_000 } }],
    ['no bound of memory', { resources: { limits: { memory: null } } }]
  ]
  for (const [name, over] of refused) t.notOk(isTaken(over), name)
})

t.test('the renderer fails on what it does not know', async (t) => {
  const templates = (text: string) => {
    const directory = t.testdir({
      'Chart.yaml': 'name: a\nappVersion: "1"\n',
      'values.yaml': 'list: [1]\nobject: { a: 1 }\n',
      templates: { 'a.yaml': text }
    })
    return () => renderChart(directory, 'edge')
  }
  for (const text of [
    'a: {{ lower .Values.list }}',
    'a: {{ .Values.object }}',
    'a: {{ .Values.nowhere.deeper }}',
    'a: {{ .Values.nowhere }}',
    'a: {{ $x := 1 }}',
    'a: {{ (.Values.list) }}',
    'a: {{ include "nobody" . }}',
    '{{ if .Values.list }}a: 1',
    'a: 1\na: 2'
  ]) {
    t.throws(templates(text), text)
  }
  t.same(templates('a: {{ .Values.list | toYaml | nindent 2 }}\n')().get('a.yaml'), { a: [1] })
})
