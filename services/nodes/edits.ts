import { BadRequest, NotFound } from '../../errors.ts'
import type { NodeSpec, NodeState } from '../upstream/member.ts'
import { identityOf } from '../upstream/node-id.ts'
import type { AttachOptions, NodeOverride } from '../upstream/roster.ts'

/** What a gateway's config says of a service's nodes. */
export interface Configured {
  readonly name: string
  readonly specs: readonly NodeSpec[]
}

export interface NodeChange {
  readonly weight?: number
  readonly state?: NodeState
}

/** An edit makes new overrides of those there are, or throws a problem that says what is wrong; it touches nothing. */
export type Edit = (before: readonly NodeOverride[]) => readonly NodeOverride[]

/** Most nodes of a service that differ from its config. */
const mostOverrides = 1000

/** Adds a node, or brings one of the config back that was detached. */
export function attaching(service: Configured, options: AttachOptions): { readonly id: string; edit: Edit } {
  const { url, weight } = options
  const href = new URL(url).href
  const configured = service.specs.find((spec) => hrefOf(spec.url) === href)
  if (configured !== undefined && options.id !== undefined && options.id !== configured.id) {
    throw refuse(`The config has this node, as "${configured.id}"; leave "id" out.`)
  }
  const id = configured?.id ?? options.id ?? identityOf(service.name, url)
  // Also when that one was taken out: it would come back in place of the new one.
  if (configured === undefined && service.specs.some((spec) => spec.id === id)) {
    throw refuse(`"${service.name}" has another node with the id "${id}".`)
  }
  return {
    id,
    edit(before) {
      const others = nodesOf(service, before)
      const twin = others.find((node) => hrefOf(node.url) === href)
      if (twin !== undefined) throw refuse(`"${service.name}" has this node already, as "${twin.id}".`)
      if (others.some((node) => node.id === id)) {
        throw refuse(`"${service.name}" has another node with the id "${id}".`)
      }
      if (before.length >= mostOverrides) {
        throw refuse(
          `More than ${mostOverrides} nodes of "${service.name}" differ from the config; write them there.`
        )
      }
      const override = {
        id,
        ...(configured === undefined && { url }),
        ...(weight !== undefined && { weight })
      }
      return put(before, override)
    }
  }
}

export const changing =
  (service: Configured, id: string, change: NodeChange): Edit =>
  (before) => {
    required(service, before, id)
    return put(before, { ...before.find((override) => override.id === id), id, ...change })
  }

/** One of the config is as if it had not; another one is forgotten. */
export const detaching =
  (service: Configured, id: string): Edit =>
  (before) => {
    required(service, before, id)
    const others = before.filter((override) => override.id !== id)
    return service.specs.some((spec) => spec.id === id) ? [...others, { id, isDetached: true }] : others
  }

/** Nodes of the config that were detached, and may be brought back. */
export const detachedOf = ({ specs }: Configured, overrides: readonly NodeOverride[]): readonly NodeSpec[] =>
  specs.filter(({ id }) => overrides.some((override) => override.id === id && override.isDetached === true))

/** The nodes of a service as its pool has them with these overrides. */
function nodesOf(
  { specs }: Configured,
  overrides: readonly NodeOverride[]
): readonly { readonly id: string; readonly url: string }[] {
  const detached = new Set(overrides.filter(({ isDetached }) => isDetached === true).map(({ id }) => id))
  const taken = new Set(specs.flatMap(({ id, url }) => [id, hrefOf(url)]))
  const attached = overrides.flatMap(({ id, url }) =>
    // What the config has by now is the config's.
    url === undefined || taken.has(id) || taken.has(hrefOf(url)) ? [] : [{ id, url }]
  )
  return [...specs.filter(({ id }) => !detached.has(id)), ...attached]
}

function required(service: Configured, before: readonly NodeOverride[], id: string): void {
  if (nodesOf(service, before).some((node) => node.id === id)) return
  throw NotFound(['node', id.slice(0, 64)], { reason: 'node' })
}

/** Replaces what was said of the node; saying nothing of it any more leaves nothing. */
function put(before: readonly NodeOverride[], override: NodeOverride): readonly NodeOverride[] {
  const others = before.filter(({ id }) => id !== override.id)
  const { state, ...rest } = override
  const next: NodeOverride = state === undefined || state === 'up' ? rest : override
  return next.url === undefined && next.weight === undefined && next.state === undefined
    ? others
    : [...others, next]
}

const hrefOf = (url: string): string => new URL(url).href

const refuse = (sentence: string) => BadRequest([sentence], { reason: 'body_field' })
