const wildcard = 'https://*.'

/** A host's one label more. */
const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/

/** Makes the question whether an origin is listed: as it is, or as one label before a listed rest. */
export function originLookup(origins: readonly string[]): (origin: string) => boolean {
  const exact = new Set(origins.filter((origin) => !origin.startsWith(wildcard)))
  const rests = new Set(
    origins.filter((origin) => origin.startsWith(wildcard)).map((origin) => origin.slice(wildcard.length - 1))
  )
  return (origin) => {
    if (exact.has(origin)) return true
    if (rests.size === 0 || !origin.startsWith('https://')) return false
    const dot = origin.indexOf('.')
    return dot > 0 && label.test(origin.slice(8, dot)) && rests.has(origin.slice(dot))
  }
}

/** What is wrong with an origin in a config, in half a sentence; undefined when a browser can send it. */
export function originMistake(origin: string): string | undefined {
  if (origin === '*') return '"*" would let every site read answers; list the origins'
  if (origin === 'null') return '"null" is what every sandboxed page and file sends; it is nobody\'s origin'
  const isWild = origin.includes('*')
  if (isWild && !origin.startsWith(wildcard)) {
    return '"*" stands for the first label of an https origin only ("https://*.app.example")'
  }
  const plain = isWild ? origin.replace('*.', '') : origin
  if (!/^https?:\/\//.test(plain) || !URL.canParse(plain)) {
    return `"${origin}" is not an origin; write "https://" and a host, with a port if it has an unusual one`
  }
  const { origin: normal, hostname } = new URL(plain)
  if (normal !== plain) {
    const right = isWild ? normal.replace('https://', wildcard) : normal
    return `"${origin}" is not as browsers send it: that is "${right}", without path, user, usual port or capitals`
  }
  if (isWild && (!/\.[a-z]/.test(hostname) || plain.includes('*'))) {
    return `"${origin}" takes too much; "*." needs a domain of two labels or more behind it`
  }
  return undefined
}

/** Whether what goes to an origin, cookies and all, can be read or changed on the way. */
export function isPlaintext(origin: string): boolean {
  if (!origin.startsWith('http://')) return false
  const { hostname } = new URL(origin)
  return hostname !== 'localhost' && hostname !== '[::1]' && !hostname.startsWith('127.')
}

export const isWildcard = (origin: string): boolean => origin.startsWith(wildcard)
