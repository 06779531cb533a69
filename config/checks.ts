import type { Check, Report } from './mistake.ts'
import { nearest } from './nearest.ts'
import type { Turns } from './pace.ts'
import { pointerOf } from './pointer.ts'
import { orList, quoted } from './sentence.ts'

type Loose = Readonly<Record<string, unknown>>

const tolerant = (check: (config: Loose, report: Report) => void | Turns<void>): Check =>
  Object.assign(check, { tolerant: true as const })

/** Whatever names a service names one that there is; a service that nothing names earns a warning. */
export const serviceNames = tolerant(function* (config, report) {
  const names = isObject(config.services) ? Object.keys(config.services) : []
  const known = new Set(names)
  const unused = new Set(names)
  for (const [pointer, service] of namedServices(config)) {
    yield
    if (typeof service !== 'string') continue
    if (unused.delete(service) || known.has(service)) continue
    const meant = nearest(service, names)
    const others =
      names.length === 0 ? 'there are no services' : `there are ${orList(quoted(names.slice(0, 10)))}`
    const hint = meant === undefined ? `; ${others}` : ''
    report.error(pointer, `there is no service "${service}"${hint}`, meant)
  }
  for (const name of unused) {
    report.warning(pointerOf('services', name), `no route uses the service "${name}"`)
  }
})

/** Every place that names a service: routes, with what else becomes of their requests, and services with a fallback. */
function* namedServices({ routes, services }: Loose): Iterable<[pointer: string, name: unknown]> {
  for (const [index, route] of itemsOf(routes)) {
    yield [pointerOf('routes', index, 'service'), route.service]
    for (const key of ['canary', 'mirror']) {
      const other = route[key]
      if (isObject(other)) yield [pointerOf('routes', index, key, 'service'), other.service]
    }
  }
  for (const [name, service] of isObject(services) ? Object.entries(services) : []) {
    const fallback = isObject(service) ? service.fallback : undefined
    if (isObject(fallback)) yield [pointerOf('services', name, 'fallback', 'service'), fallback.service]
  }
}

/** Ids are taken once in each list. */
export const uniqueIds = tolerant(function* (config, report) {
  for (const [key, list] of Object.entries(config)) {
    const taken = new Map<string, number>()
    for (const [index, { id }] of itemsOf(list)) {
      yield
      if (typeof id !== 'string') continue
      const first = taken.get(id)
      if (first === undefined) taken.set(id, index)
      else report.error(pointerOf(key, index, 'id'), `the id "${id}" is taken by ${key}[${first}]`)
    }
  }
})

/** A service names each of its nodes once: a node given twice would get twice its share. */
export const uniqueNodes = tolerant(({ services }, report) => {
  for (const [name, service] of isObject(services) ? Object.entries(services) : []) {
    const nodes = isObject(service) && Array.isArray(service.nodes) ? (service.nodes as unknown[]) : []
    const taken = new Map<string, number>()
    const ids = new Map<string, number>()
    for (const [index, node] of nodes.entries()) {
      const { url, id } = isObject(node) ? node : { url: node, id: undefined }
      const twin = typeof url === 'string' ? earlier(taken, normalise(url), index) : undefined
      if (twin !== undefined) {
        const sentence = `the service "${name}" has this node already, as nodes[${twin}]; give it a weight instead`
        report.error(pointerOf('services', name, 'nodes', index), sentence)
      }
      const namesake = typeof id === 'string' ? earlier(ids, id, index) : undefined
      if (namesake === undefined) continue
      const sentence = `the id "${id as string}" is taken by nodes[${namesake}] of "${name}"`
      report.error(pointerOf('services', name, 'nodes', index, 'id'), sentence)
    }
  }
})

/** Where a value was met before; notes where it is met first. */
function earlier(met: Map<string, number>, value: string, index: number): number | undefined {
  const first = met.get(value)
  if (first === undefined) met.set(value, index)
  return first
}

/** Each listener needs an address of its own; with port 0 each takes one. */
export const ownAddresses = tolerant(({ listen }, report) => {
  if (!isObject(listen)) return
  const { public: address, admin } = listen
  if (typeof address !== 'string' || address !== admin || address.endsWith(':0')) return
  report.error(
    pointerOf('listen', 'admin'),
    `listen.public has the address "${address}" as well; take another port`
  )
})

/** What every config is checked for, whichever plugins read it. */
export const checks: readonly Check[] = [serviceNames, uniqueIds, uniqueNodes, ownAddresses]

const isObject = (value: unknown): value is Loose =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function* itemsOf(list: unknown): Iterable<[number, Loose]> {
  if (!Array.isArray(list)) return
  for (const [index, item] of list.entries()) if (isObject(item)) yield [index, item]
}

function normalise(url: string): string {
  return URL.canParse(url) ? new URL(url).href : url
}
