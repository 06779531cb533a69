const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export type JSONObject = Readonly<Record<string, unknown>>

/**
 * Reads one JSON object from bytes as two careful readers would both read it: valid UTF-8 without BOM, no member twice, no
 * `__proto__`, no half of a character (RFC 7493 2.1), at most `depth` deep. Undefined for anything else.
 */
export function readObject(bytes: Uint8Array, depth: number): JSONObject | undefined {
  const value = readValue(bytes, depth)
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JSONObject)
    : undefined
}

/** The same for any JSON value; a scalar is one, undefined is none. */
export function readValue(bytes: Uint8Array, depth: number): unknown {
  try {
    const text = utf8.decode(bytes)
    return text.charCodeAt(0) === 0xfeff || !isUnambiguous(text, depth) ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Looks at nesting, member names and halves of characters only; whether it is JSON at all is for JSON.parse to say. */
function isUnambiguous(text: string, depth: number): boolean {
  const open: (Set<string> | undefined)[] = []
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case '{':
      case '[':
        if (open.length >= depth) return false
        open.push(text[at] === '{' ? new Set() : undefined)
        break
      case '}':
      case ']':
        open.pop()
        break
      case '"': {
        const start = at
        at = endOfString(text, at)
        const string = text.slice(start, at + 1)
        if (string.includes('\\u') && !isWhole(JSON.parse(string) as string)) return false
        if (!isName(text, at)) break
        const name = JSON.parse(string) as string
        const names = open.at(-1)
        if (name === '__proto__' || names?.has(name)) return false
        names?.add(name)
      }
    }
  }
  return true
}

function endOfString(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at
}

function isName(text: string, end: number): boolean {
  for (let at = end + 1; at < text.length; at++) {
    const character = text[at]
    if (character === ':') return true
    if (character !== ' ' && character !== '\t' && character !== '\n' && character !== '\r') return false
  }
  return false
}

/** Whether it can be written as UTF-8: an escaped surrogate without its other half cannot. */
const isWhole = (text: string): boolean => Buffer.from(text).toString() === text
