import { normalise } from './normalise.ts'
import { boundedRegex } from './pattern.ts'
import type { RouteOptions } from './slice.ts'

/** How a path changes on its way to the service, and back in a Location header. */
export interface Rewrite {
  /** The path the service sees; undefined when the replacement makes a path that would be refused. */
  forward(path: string): string | undefined
  /** The public form of a path of the service. */
  back(path: string): string
  /** What was taken off the front, for X-Forwarded-Prefix; '' when nothing is. */
  readonly prefix: string
}

/** What most routes do: the same object for all of them. */
const unchanged: Rewrite = Object.freeze({
  prefix: '',
  forward: (path: string) => path,
  back: (path: string) => path
})

/** Throws a SyntaxError when the replacement's pattern is not taken. */
export function compileRewrite(options: RouteOptions['rewrite']): Rewrite {
  const strip = segmentsOf(options.stripPrefix ?? '')
  const prefix = strip.map((segment) => `/${segment}`).join('')
  const add = segmentsOf(options.addPrefix ?? '')
    .map((segment) => `/${segment}`)
    .join('')
  const { replace } = options
  if (prefix === '' && add === '' && replace === undefined) return unchanged
  const pattern = replace === undefined ? undefined : boundedRegex(replace.pattern)
  return {
    prefix,
    forward(path) {
      let target = strip.length === 0 ? path : stripSegments(path, strip)
      if (add !== '') target = target === '/' ? add : add + target
      if (pattern === undefined || replace === undefined) return target
      const replaced = target.replace(pattern, replace.with)
      const normal = normalise(replaced.startsWith('/') ? replaced : `/${replaced}`)
      return normal.refusal === undefined ? normal.path : undefined
    },
    back(path) {
      let target = path
      if (add !== '') {
        if (target !== add && !target.startsWith(`${add}/`) && !target.startsWith(`${add}?`)) return path
        target = target.slice(add.length)
        if (!target.startsWith('/')) target = `/${target}`
      }
      return prefix === '' ? target : prefix + (target === '/' ? '' : target.replace(/^\/(?=[?#])/, ''))
    }
  }
}

function segmentsOf(prefix: string): string[] {
  const { resource, refusal } = normalise(prefix === '' ? '/' : prefix)
  if (refusal !== undefined) throw new SyntaxError(`the prefix "${prefix}" is not a path: ${refusal}`)
  return resource.split('/').filter((segment) => segment !== '')
}

/** Takes whole segments off, compared as routes compare them, so that `;params` and escapes cannot hide a prefix. */
function stripSegments(path: string, strip: readonly string[]): string {
  let at = 0
  for (const segment of strip) {
    let end = at
    let resource = ''
    do {
      if (end >= path.length) return path
      const start = end
      const next = path.indexOf('/', start + 1)
      end = next < 0 ? path.length : next
      resource = normalise(path.slice(start, end)).resource.slice(1)
    } while (resource === '')
    if (resource !== segment) return path
    at = end
  }
  return at >= path.length ? '/' : path.slice(at)
}
