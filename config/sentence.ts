import { type AnySchema, branchesOf, kindOf } from './schema.ts'

/** What a value is, in words; long strings are cut and passwords in URLs left out. */
export function describe(value: unknown): string {
  if (typeof value === 'string') {
    const shown = withoutPassword(value)
    return `the string ${JSON.stringify(shown.length > 60 ? `${shown.slice(0, 57)}...` : shown)}`
  }
  if (Array.isArray(value)) return 'a list'
  if (value === null) return 'null'
  return typeof value === 'object' ? 'an object' : String(value)
}

/** What stands for a secret wherever a config is shown. */
export const secretMask = '[secret]'

/** The same text with the passwords in its URLs masked; a reference such as `${PASSWORD}` is none. */
export const withoutPassword = (
  text: string,
  mask: (password: string) => string = () => secretMask
): string =>
  text.replace(
    urlPassword,
    (_, before: string, password: string) => `${before}${isReference(password) ? password : mask(password)}@`
  )

/** From the colon to the last @ of a URL, for passwords hold anything; a port before a path is none, nor is the next URL of a list. */
const urlPassword =
  /([a-z][a-z0-9+.-]*:\/\/[^\s/:@"',]*:)(?!\d+(?:[/?#,"'\s]|$))((?:(?!,[a-z][a-z0-9+.-]*:\/\/)[^\s"'])+)@/gi

/** A reference without a default says where a secret is, not what it is. */
export const isReference = (text: string): boolean =>
  /^\$\{(?:file:[^}]+|[A-Za-z_][A-Za-z0-9_]*)\}$/.test(text)

/** What a schema wants, in words. */
export function expected(schema: AnySchema): string {
  return orList([...new Set(branchesOf(schema).map(one))])
}

function one(schema: AnySchema): string {
  const examples = schema.examples as readonly unknown[] | undefined
  switch (kindOf(schema)) {
    case 'Literal':
      return JSON.stringify(schema.const)
    case 'Integer':
      return 'a whole number'
    case 'Number':
      return 'a number'
    case 'Boolean':
      return 'true or false'
    case 'Array':
    case 'Tuple':
      return 'a list'
    case 'Null':
      return 'null'
    case 'String':
      return examples?.length ? `a string such as ${JSON.stringify(examples[0])}` : 'a string'
    default:
      return 'an object'
  }
}

export function orList(words: readonly string[]): string {
  if (words.length < 2) return words.join('')
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

export const quoted = (words: readonly string[]): string[] => words.map((word) => `"${word}"`)
