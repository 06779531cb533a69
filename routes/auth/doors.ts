import type { Report } from '../../config/mistake.ts'
import type { AuthOptions } from '../../services/identity/slice.ts'

export const jwksPath = '/.well-known/jwks.json'

/** Which paths the gateway answers itself, before any configured route is looked at. */
export function doorsOf(auth: AuthOptions | undefined): (resource: string) => boolean {
  if (auth === undefined) return () => false
  const paths = new Set([...Object.values(auth.paths), jwksPath])
  const below = `${auth.paths.sessions}/`
  return (resource) => paths.has(doorPath(resource)) || resource.startsWith(below)
}

/** A door with a slash behind is the same door: what is posted there must not reach a service that takes everything. */
export const doorPath = (resource: string): string =>
  resource.length > 1 && resource.endsWith('/') ? resource.slice(0, -1) : resource

/** A route that stands exactly where a door is would never be asked; two doors cannot stand in one place. */
export function doorCollisions(
  config: { readonly auth?: AuthOptions; readonly routes: readonly { readonly path: string }[] },
  report: Report
): void {
  const { auth, routes } = config
  if (auth === undefined) return
  const isDoor = doorsOf(auth)
  for (const [index, { path }] of routes.entries()) {
    if (isDoor(path))
      report.error(`/routes/${index}/path`, `the gateway answers ${path} itself ("auth.paths")`)
  }
  const taken = new Map<string, string>([[jwksPath, 'the public keys']])
  for (const [name, path] of Object.entries(auth.paths)) {
    const other = taken.get(path)
    if (other !== undefined) report.error(`/auth/paths/${name}`, `${path} is taken by ${other}`)
    taken.set(path, `auth.paths.${name}`)
  }
}
