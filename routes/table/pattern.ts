import { normalise } from './normalise.ts'

/** A route's path, read. */
export type Pattern =
  | {
      readonly kind: 'segments'
      readonly segments: readonly Segment[]
      /** Whether everything below is matched too. */
      readonly isOpen: boolean
      readonly hasSlash: boolean
    }
  | { readonly kind: 'regex'; readonly regex: RegExp; readonly source: string }

export type Segment = { readonly literal: string } | { readonly parameter: string }

/** Longest resource a regular expression is asked about, so that none can keep the process busy. */
export const maxRegexInput = 2048

/** Reads the path of a route. Throws a SyntaxError whose message is half a sentence for the operator. */
export function parsePattern(path: string): Pattern {
  if (path.startsWith('~')) {
    const source = path.slice(1)
    if (!source.startsWith('^/')) throw new SyntaxError('a regular expression has to start with "~^/"')
    return { kind: 'regex', regex: boundedRegex(source), source }
  }
  if (!path.startsWith('/')) throw new SyntaxError('a path starts with "/", or with "~" when it is a regex')
  const isOpen = path.endsWith('/*')
  const closed = isOpen ? path.slice(0, -1) : path
  return {
    kind: 'segments',
    segments: closed.split('/').slice(1).filter(isNotEmpty).map(parseSegment),
    isOpen,
    hasSlash: !isOpen && closed.endsWith('/')
  }
}

const isNotEmpty = (segment: string): boolean => segment !== ''

function parseSegment(segment: string): Segment {
  if (segment.startsWith(':')) {
    const parameter = segment.slice(1)
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(parameter)) {
      throw new SyntaxError(`":${parameter}" is not a parameter name`)
    }
    return { parameter }
  }
  if (segment.includes('*')) {
    throw new SyntaxError('"*" stands alone at the end ("/orders/*"); use ":name" for one segment')
  }
  if (/[?#;]/.test(segment)) throw new SyntaxError(`"${segment}" holds a character that no path has`)
  const { resource, refusal, encoded } = normalise(
    `/${segment.replace(/[^\x20-\x7e]+/gu, encodeURIComponent).replaceAll(' ', '%20')}`
  )
  if (refusal !== undefined) throw new SyntaxError(`${refusal}, which no request may send`)
  if (encoded) throw new SyntaxError(`"${segment}" holds an escaped slash, backslash or dot`)
  return { literal: resource.slice(1) }
}

/** The whole segments that every path begins with which a regular expression matches. */
export function fixedSegments(source: string): readonly string[] {
  if (source.includes('|')) return []
  const [, fixed = ''] = /^\^((?:\/[\w-]+)*)(?=\/(?![?*{]))/.exec(source) ?? []
  return fixed.split('/').slice(1)
}

const unbounded = /[*+]|\{\d+,\}|\{\d{3,}|\{\d+,\d{3,}\}/

/**
 * A regular expression whose worst case on a path is harmless. Refuses what can explode: look-around, back references, a repeated group
 * that repeats or branches inside, repeats with nothing fixed between them. Throws a SyntaxError.
 */
export function boundedRegex(source: string): RegExp {
  if (source.length > 200) throw new SyntaxError('a regular expression has at most 200 characters')
  const bare = source.replace(/\\[^1-9k]/g, 'e').replace(/\[(?:\\.|[^\]\\])*\]/g, 'c')
  if (/\(\?(?!:)/.test(bare) || /\\[1-9k]/.test(bare)) {
    throw new SyntaxError('look-around, named groups and back references are not taken')
  }
  const inner = /\(([^()]*)\)([*+?{])?/
  for (let rest = bare, match = inner.exec(rest); match !== null; match = inner.exec(rest)) {
    const [whole, body = '', repeat] = match
    if (
      repeat !== undefined &&
      repeat !== '?' &&
      (unbounded.test(body) || /[|?{]/.test(body.replace(/^\?:/, '')))
    ) {
      throw new SyntaxError('a repeated group may not repeat or branch inside')
    }
    rest = rest.replace(whole, (unbounded.test(body) ? 'r+' : 'g') + (repeat ?? ''))
  }
  const flat = bare.replace(/\(\?:|[()]/g, '')
  if (/(?:[*+]|\{\d+,\d*\})\??(?:.(?:[*?]|\{0?,\d*\})\??)*.(?:[*+]|\{\d+,\d*\})/.test(flat)) {
    throw new SyntaxError('two repeats need something fixed between them')
  }
  if ((flat.match(/[*+]|\{\d+,\}/g)?.length ?? 0) > 5) {
    throw new SyntaxError('at most five repeats are taken')
  }
  try {
    return new RegExp(source)
  } catch (error) {
    throw new SyntaxError(`it is not a regular expression: ${(error as Error).message}`)
  }
}
