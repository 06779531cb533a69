import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import { say } from '../say.ts'

interface Node {
  readonly id: string
  readonly url: string
  readonly weight: number
  readonly state: string
  readonly health: string
  readonly inFlight: number
  readonly source: string
  /** Of a drained node: what other gateways have told of; null when the store does not answer. */
  readonly elsewhere?: number | null
  readonly warning?: string
}

interface Service {
  readonly name: string
  readonly nodes: readonly Node[]
  readonly detached?: readonly { readonly id: string; readonly url: string }[]
}

interface Options {
  readonly json?: boolean
  readonly service?: string
}

/** Milliseconds in which every gateway has heard of a drain and told what it still has to finish. */
const hearing = 2500

const pause = 250

/** `toll node ls|add|drain|up|down|weight|rm`: the nodes of services while the gateways run, for all gateways on one store. */
export function nodeCommand(program: Command): void {
  const node = program
    .command('node')
    .description('list, add, drain and remove the nodes of services, at every gateway')
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 3 drained but requests were still running when the time was up, 1 otherwise.'
    )
  list(node)
  add(node)
  drain(node)
  change(node, 'up', 'let a node take requests again', 'takes requests again')
  change(node, 'down', 'give a node nothing more, and do not check it either', 'gets nothing more')
  weigh(node)
  remove(node)
}

function list(node: Command): void {
  node
    .command('ls [service]')
    .description(
      'list nodes: id, service, url, weight, state, health, requests under way, where it comes from'
    )
    .option('--json', 'print the list as JSON')
    .action(async (name: string | undefined, { json }: Options, command: Command) => {
      const services =
        name === undefined
          ? await servicesOf(command)
          : [{ name, ...((await request(command, 'GET', pathOf(name))) as Omit<Service, 'name'>) }]
      const lines = services.flatMap(({ name: service, nodes, detached = [] }) => [
        ...nodes.map(({ id, url, weight, state, health, inFlight, source }) =>
          [id, service, url, weight, state, health, inFlight, source].join('\t')
        ),
        ...detached.map(({ id, url }) => [id, service, url, '-', 'detached', '-', '-', 'config'].join('\t'))
      ])
      say(json, services, lines.length === 0 ? 'There are no nodes.' : lines.join('\n'))
    })
}

function add(node: Command): void {
  node
    .command('add <service> <url>')
    .description('add a node to a service, or bring one of the config back')
    .option('--weight <n>', 'its share of the requests, 0 to 1000')
    .option('--id <id>', 'what to call it; made of the url otherwise')
    .option('--json', 'print the node as JSON')
    .action(
      async (
        service: string,
        url: string,
        { weight, id, json }: Options & { weight?: string; id?: string },
        command: Command
      ) => {
        const body = { url, ...(weight !== undefined && { weight: wholeOf(weight) }), ...(id && { id }) }
        const added = (await request(command, 'POST', pathOf(service), body)) as Node
        say(json, added, `Added ${added.id} to "${service}".`)
      }
    )
}

function drain(node: Command): void {
  node
    .command('drain <node>')
    .description('give a node nothing new, and wait until what it has is finished')
    .option('--timeout <time>', 'longest wait; then the exit code is 3', '60s')
    .option('--no-wait', 'do not wait')
    .option('--service <name>', 'the service, where several have a node of this name')
    .option('--json', 'print the outcome as JSON')
    .action(
      async (
        id: string,
        { timeout, wait, json, service }: Options & { timeout: string; wait: boolean },
        command: Command
      ) => {
        const path = await find(command, id, service)
        const longest = await milliseconds('--timeout', timeout)
        const { warning } = (await request(command, 'PUT', path, { state: 'drain' })) as Node
        warn(warning)
        if (!wait) {
          say(json, { id, state: 'drain' }, `${id} gets nothing new.`)
          return
        }
        const watched = await watch(command, path, longest, (line) => {
          if (json !== true) process.stdout.write(`${id}: ${line}\n`)
        })
        const isDone = isDrained(watched)
        const rest =
          totalOf(watched) === 0
            ? `what other gateways still have was not known after ${timeout}.`
            : `what is still running was not finished after ${timeout}.`
        const sentence = isDone ? `${id}: drained.` : `${id}: gets nothing new; ${rest}`
        say(json, { ...watched, drained: isDone }, sentence)
        if (!isDone) process.exitCode = 3
      }
    )
}

/** Follows a drained node until nothing runs on it any more, here and at the other gateways, or the time is up. */
async function watch(
  command: Command,
  path: string,
  longest: number,
  tell: (line: string) => void
): Promise<Node> {
  const startedAt = performance.now()
  let told = ''
  for (;;) {
    const node = (await request(command, 'GET', path)) as Node
    if (node.state === 'up') throw new Error(`"${node.id}" was let take requests again meanwhile.`)
    const waited = performance.now() - startedAt
    const line = progressOf(node)
    if (line !== told && line !== '') tell(line)
    told = line
    if (waited >= longest || (isDrained(node) && waited >= Math.min(hearing, longest))) return node
    await sleep(pause)
  }
}

/** While the store is away nobody knows of the other gateways. */
const isDrained = (node: Node): boolean => totalOf(node) === 0 && node.elsewhere !== null

const totalOf = ({ inFlight, elsewhere }: Node): number => inFlight + (elsewhere ?? 0)

function progressOf(node: Node): string {
  const { elsewhere } = node
  const total = totalOf(node)
  if (isDrained(node)) return ''
  const others = (elsewhere ?? 0) > 0 ? `, ${elsewhere} of them at other gateways` : ''
  const unknown = elsewhere === null ? '; the store does not answer, so other gateways may have more' : ''
  return `${total} ${total === 1 ? 'request is' : 'requests are'} still running${others}${unknown}`
}

function change(node: Command, state: 'up' | 'down', description: string, done: string): void {
  node
    .command(`${state} <node>`)
    .description(description)
    .option('--service <name>', 'the service, where several have a node of this name')
    .option('--json', 'print the node as JSON')
    .action(async (id: string, { json, service }: Options, command: Command) => {
      const changed = (await request(command, 'PUT', await find(command, id, service), { state })) as Node
      warn(changed.warning)
      say(json, changed, `${id} ${done}.`)
    })
}

function weigh(node: Command): void {
  node
    .command('weight <node> <weight>')
    .description('change the share of the requests that a node gets, 0 to 1000')
    .option('--service <name>', 'the service, where several have a node of this name')
    .option('--json', 'print the node as JSON')
    .action(async (id: string, weight: string, { json, service }: Options, command: Command) => {
      const path = await find(command, id, service)
      const changed = (await request(command, 'PUT', path, { weight: wholeOf(weight) })) as Node
      warn(changed.warning)
      say(json, changed, `${id} has the weight ${changed.weight}.`)
    })
}

function remove(node: Command): void {
  node
    .command('rm <node>')
    .description('take a node out of its service; what it has under way is finished')
    .option('--service <name>', 'the service, where several have a node of this name')
    .option('--json', 'print the answer as JSON')
    .action(async (id: string, { json, service }: Options, command: Command) => {
      const removed = (await request(command, 'DELETE', await find(command, id, service))) as Node
      warn(removed.warning)
      const rest = removed.inFlight > 0 ? `; ${removed.inFlight} requests are still running here` : ''
      say(json, removed, `Took ${id} out${rest}.`)
    })
}

const warn = (warning: string | undefined): void => {
  if (warning !== undefined) process.stderr.write(`warning: ${warning}\n`)
}

function wholeOf(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new Error(`"${text}" is not a whole number.`)
}

async function milliseconds(option: string, value: string): Promise<number> {
  const { toMilliseconds } = await import('../../config/units.ts')
  if (/^(0|[1-9][0-9]{0,5})(ms|s|m|h|d)$/.test(value)) return toMilliseconds(value)
  throw new Error(`${option} takes a time such as 30s or 5m.`)
}

/** The path of a node that is named without its service. */
async function find(command: Command, id: string, service: string | undefined): Promise<string> {
  if (service !== undefined) return pathOf(service, id)
  const services = await servicesOf(command)
  const found = services.filter(({ nodes }) => nodes.some((node) => node.id === id))
  if (found.length === 1) return pathOf(found[0]!.name, id)
  if (found.length > 1) {
    const names = found.map(({ name }) => `"${name}"`).join(' and ')
    throw new Error(`${names} have a node "${id}"; say which with --service.`)
  }
  const { nearest } = await import('../../config/nearest.ts')
  const meant = nearest(
    id,
    services.flatMap(({ nodes }) => nodes.map((node) => node.id))
  )
  const hint = meant === undefined ? '"toll node ls" lists them.' : `did you mean "${meant}"?`
  throw new Error(`no service has a node "${id}"; ${hint}`)
}

const pathOf = (service: string, id?: string): string =>
  `/admin/services/${encodeURIComponent(service)}/nodes${id === undefined ? '' : `/${encodeURIComponent(id)}`}`

async function servicesOf(command: Command): Promise<readonly Service[]> {
  return ((await request(command, 'GET', '/admin/services')) as { services: readonly Service[] }).services
}

async function request(command: Command, method: string, path: string, body?: unknown): Promise<unknown> {
  const { adminRequest } = await import('../admin-client.ts')
  return adminRequest(command, method, path, body)
}
