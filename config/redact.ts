import { isReference, withoutPassword } from './sentence.ts'
import type { Shape } from './shape.ts'
import { plainOf, type Source, type SourceNode } from './source.ts'

/** The file as it was written, references kept, with what is secret replaced by "[secret]". */
export function redact({ root }: Source, shape: Shape): unknown {
  if (root === undefined) return undefined
  const secrets = new Set(shape.secretsOf(root).filter(isLiteral))
  return plainOf(root, (_, scalar, node) => {
    if (secrets.has(node)) return '[secret]'
    return typeof scalar === 'string' ? withoutPassword(scalar) : scalar
  })
}

/** The text of the file with every secret starred out, character by character, so that code frames keep their columns. */
export function maskText({ root, text }: Source, shape: Shape | undefined): string {
  const secrets = root === undefined || shape === undefined ? [] : shape.secretsOf(root).filter(isLiteral)
  let masked = ''
  let end = 0
  for (const node of secrets.sort((left, right) => left.start - right.start)) {
    // Aliases of YAML lead to the same text more than once.
    if (node.start < end) continue
    masked += text.slice(end, node.start) + stars(text.slice(node.start, node.end))
    end = node.end
  }
  return withoutPassword(masked + text.slice(end), stars).replace(
    secretLooking,
    (_, key: string, value: string) =>
      isReference(value.replaceAll(/["']/g, '')) ? key + value : key + stars(value)
  )
}

/** Where the file itself is broken, and no schema says what a field is, its name does. */
const secretLooking =
  /(["']?[\w-]*(?:password|passwd|secret|token|api[-_]?key|private[-_]?key)["']?\s*:[ \t]*)("[^"\n]*"?|'[^'\n]*'?|[^\s"'{[,#][^\n,#}\]]*)/gi

/** A reference says where a secret is, not what it is. */
function isLiteral({ value }: SourceNode): boolean {
  if (value.kind !== 'scalar' || value.scalar === null || value.scalar === '') return false
  return typeof value.scalar !== 'string' || !isReference(value.scalar)
}

const stars = (text: string): string => text.replaceAll(/[^\r\n]/g, '*')
