import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './console.ts'

export interface AdminCall {
  readonly method: string
  /** As the sources have it: /admin/limits/:id. */
  readonly path: string
  /** The same with something in each place. */
  readonly url: string
}

/** Every call of the admin API, as the sources register it; not asked of the gateway, which is what they are compared with. */
export function adminCalls(): readonly AdminCall[] {
  const folder = join(root, 'routes/admin')
  const texts = readdirSync(folder)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
  return texts.flatMap((text) =>
    [...text.matchAll(/admin\.(get|post|put|patch|delete)(?:<[^(]*>)?\(\s*'([^']+)'/g)].map(
      ([, method, path]) => ({
        method: method!.toUpperCase(),
        path: path!,
        url: path!.replaceAll(/:\w+/g, 'nothing').replace('*', '192.0.2.7')
      })
    )
  )
}

/** Those that only look although they are a POST. */
export const lookers: ReadonlySet<string> = new Set(['POST /admin/explain', 'POST /admin/verify'])
