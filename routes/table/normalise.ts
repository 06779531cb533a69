/** A request path in its one normal form, or why it has none. */
export interface NormalPath {
  /** What the upstream sees: RFC 3986 6.2.2 normal form, duplicate slashes merged. */
  readonly path: string
  /** What routes, rules and limits compare: `path` without `;params` and with every harmless escape decoded. */
  readonly resource: string
  /** Half a sentence, the reason to refuse the path; undefined when it is fine. */
  readonly refusal: string | undefined
  /** True when the path only passes where a route says `allowEncoded`. */
  readonly encoded: boolean
}

/**
 * Brings the path of a request-target to its normal form. Two spellings that any common server takes for one resource get the same
 * `resource`, or are refused: a policy that matches one spelling cannot be walked around with another.
 */
export function normalise(path: string): NormalPath {
  return isPlain(path) ? { path, resource: path, refusal: undefined, encoded: false } : rewrite(path)
}

const plain = flags(/[A-Za-z0-9\-._~!$&'()*+,=:@[\]]/)
const unreserved = flags(/[A-Za-z0-9\-._~]/)
/** Never legal in a path, yet sent by some clients: they are escaped so that both spellings are one. */
const escaped = flags(/["<>?^`{|}]/)
/** Escapes with a meaning of their own stay escapes in `resource` too. */
const structural = flags(/[%/\\?#;]/)

function flags(characters: RegExp): Uint8Array {
  return Uint8Array.from({ length: 128 }, (_, code) => (characters.test(String.fromCharCode(code)) ? 1 : 0))
}

function isPlain(path: string): boolean {
  if (path.charCodeAt(0) !== 0x2f) return false
  let previous = 0x2f
  for (let index = 1; index < path.length; index += 1) {
    const code = path.charCodeAt(index)
    if (code === 0x2f || code === 0x2e) {
      if (previous === 0x2f) return false
    } else if (plain[code] !== 1) return false
    previous = code
  }
  return true
}

const refused = (refusal: string): NormalPath => ({ path: '/', resource: '/', refusal, encoded: false })

function rewrite(path: string): NormalPath {
  if (path.charCodeAt(0) !== 0x2f) return refused('it does not start with a slash')
  let out = ''
  let encoded = false
  for (let index = 0; index < path.length; index += 1) {
    const code = path.charCodeAt(index)
    if (code === 0x25) {
      const byte = byteAt(path, index)
      if (byte === -1) return refused('it holds a broken percent escape')
      const refusal = refusalOf(byte, path, index)
      if (refusal !== undefined) return refused(refusal)
      if (byte === 0x2f || byte === 0x5c || byte === 0x2e) encoded = true
      out += unreserved[byte] === 1 ? String.fromCharCode(byte) : escapeOf(byte)
      index += 2
    } else if (code === 0x2f) {
      if (!out.endsWith('/')) out += '/'
    } else if (code === 0x5c) return refused('it holds a backslash')
    else if (code === 0x23) return refused('it holds a fragment')
    else if (code <= 0x20 || code >= 0x7f) return refused('it holds a character that has to be escaped')
    else out += escaped[code] === 1 ? escapeOf(code) : path[index]
  }
  if (hasDotSegment(out)) return refused('it holds a dot segment')
  // Looked for in what the upstream gets: the escape within may have been escaped itself.
  if (!encoded && escapedTwice.test(out)) encoded = true
  return { path: out, resource: resourceOf(out), refusal: undefined, encoded }
}

/** Escapes that no route may let through. */
function refusalOf(byte: number, path: string, index: number): string | undefined {
  if (byte === 0) return 'it holds an encoded NUL'
  if (byte < 0x20 || byte === 0x7f) return 'it holds an encoded control character'
  if (byte < 0xc0) return undefined
  const next = path.charCodeAt(index + 3) === 0x25 ? byteAt(path, index + 3) : -1
  // An overlong UTF-8 form is a second spelling of an ASCII character: %C0%AF is a slash to a careless decoder.
  const isOverlong =
    (byte <= 0xc1 && next >= 0x80 && next < 0xc0) ||
    (byte === 0xe0 && next >= 0x80 && next < 0xa0) ||
    (byte === 0xf0 && next >= 0x80 && next < 0x90)
  return isOverlong ? 'it holds an overlong UTF-8 sequence' : undefined
}

/** Slash, backslash, dot and NUL, escaped more than once. */
const escapedTwice = /%(?:25)+(?:2[EF]|5C|00)/i

function byteAt(path: string, index: number): number {
  const high = hex(path.charCodeAt(index + 1))
  const low = hex(path.charCodeAt(index + 2))
  return high < 0 || low < 0 ? -1 : high * 16 + low
}

function hex(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  if (code >= 0x41 && code <= 0x46) return code - 0x37
  if (code >= 0x61 && code <= 0x66) return code - 0x57
  return -1
}

const escapeOf = (byte: number): string => `%${byte < 16 ? '0' : ''}${byte.toString(16).toUpperCase()}`

/** `..;x` is a dot segment to servers that cut `;params` off first, so is one behind an encoded slash, and to some one among spaces. */
function hasDotSegment(path: string): boolean {
  return path
    .split(/\/|%2F|%5C/)
    .some((segment) => /^(?:%20)*\.{1,2}(?:%20)*(?:;|%(?:25)*3B|$)/i.test(segment))
}

function resourceOf(path: string): string {
  // Servers that decode first see parameters behind an escaped semicolon too.
  const bare = /;|%3B/.test(path) ? path.replace(/(?:;|%3B)[^/]*/g, '').replace(/\/{2,}/g, '/') : path
  return bare.includes('%') ? bare.replace(/%[0-7][0-9A-F]/g, decodeHarmless) : bare
}

function decodeHarmless(triplet: string): string {
  const byte = Number.parseInt(triplet.slice(1), 16)
  return structural[byte] === 1 ? triplet : String.fromCharCode(byte)
}
