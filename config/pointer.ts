/** Makes a JSON pointer (RFC 6901) of keys and indices. */
export const pointerOf = (...keys: readonly (string | number)[]): string =>
  keys.map((key) => `/${escaped(String(key))}`).join('')

const escaped = (key: string): string =>
  /[~/]/.test(key) ? key.replaceAll('~', '~0').replaceAll('/', '~1') : key

/** The keys a JSON pointer is made of. */
export const keysOf = (pointer: string): string[] =>
  pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))

/** A pointer as people write it: routes[0].limit.qps; '' for the whole file. */
export const nameOf = (pointer: string): string =>
  keysOf(pointer).reduce((name, key) => {
    if (/^\d+$/.test(key)) return `${name}[${key}]`
    if (!/^[\w-]+$/.test(key)) return `${name}["${key}"]`
    return name === '' ? key : `${name}.${key}`
  }, '')
