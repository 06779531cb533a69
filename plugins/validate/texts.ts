import type { Texts } from '../../services/validation/text-values.ts'

type Many = Record<string, string | string[]>

/** The parameters of a query, names and values decoded once; undefined when that cannot be done. */
export function queryTexts(query: string): Texts | undefined {
  const texts: Many = Object.create(null)
  for (const pair of query.slice(1).split('&')) {
    if (pair === '') continue
    const end = pair.indexOf('=')
    const name = decoded((end < 0 ? pair : pair.slice(0, end)).replaceAll('+', ' '))
    const value = decoded(end < 0 ? '' : pair.slice(end + 1).replaceAll('+', ' '))
    if (name === undefined || value === undefined) return undefined
    add(texts, name, value)
  }
  return texts
}

/** All headers, as they came: Node's own record leaves out the second of some that came twice, which a service may read. */
export function headerTexts(rawHeaders: readonly string[]): Texts {
  const texts: Many = Object.create(null)
  for (let index = 0; index < rawHeaders.length; index += 2) {
    add(texts, rawHeaders[index]!.toLowerCase(), rawHeaders[index + 1]!)
  }
  return texts
}

/** Reads the parameters of one route's paths; undefined when a path cannot be decoded. */
export function pathReader(pattern: string): (path: string) => Texts | undefined {
  const names = pattern
    .split('/')
    .map((segment, place) => [segment.startsWith(':') ? segment.slice(1) : '', place] as const)
    .filter(([name]) => name !== '')
  return (path) => {
    const segments = path.split('/')
    const texts: Many = Object.create(null)
    for (const [name, place] of names) {
      const value = decoded(segments[place] ?? '')
      if (value === undefined) return undefined
      add(texts, name, value)
    }
    return texts
  }
}

function add(texts: Many, name: string, value: string): void {
  const known = texts[name]
  if (known === undefined) texts[name] = value
  else if (typeof known === 'string') texts[name] = [known, value]
  else known.push(value)
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
