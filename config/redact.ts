import { keysOf } from './pointer.ts'
import { isReference, withoutPassword } from './sentence.ts'
import type { Shape } from './shape.ts'
import { eachScalar, plainOf, type Source } from './source.ts'

type Scalar = string | number | boolean | null

/** The file as it was written, references kept, with what is secret replaced by "[secret]". */
export function redact(source: Source, shape: Shape): unknown {
  if (source.root === undefined) return undefined
  return plainOf(source.root, (pointer, scalar) => {
    if (holdsSecret(shape, pointer, scalar)) return '[secret]'
    return typeof scalar === 'string' ? withoutPassword(scalar) : scalar
  })
}

/** The text of the file with every secret starred out, character by character, so that code frames keep their columns. */
export function maskText(source: Source, shape: Shape | undefined): string {
  const { root, text } = source
  let masked = ''
  let end = 0
  if (root !== undefined && shape !== undefined) {
    eachScalar(root, (pointer, scalar, node) => {
      // An alias of YAML leads back to text that was passed before.
      if (node.start < end || !holdsSecret(shape, pointer, scalar)) return
      masked += text.slice(end, node.start) + stars(text.slice(node.start, node.end))
      end = node.end
    })
  }
  return withoutPassword(masked + text.slice(end), stars).replace(
    secretLooking,
    (_, key: string, value: string) =>
      isReference(value.replaceAll(/["']/g, '')) ? key + value : key + stars(value)
  )
}

/** Where no schema says what a field is (unknown keys, a broken file), its name does. */
const secretName = /(?:password|passwd|secret|token|api[-_]?key|private[-_]?key)$/i
const secretLooking =
  /(["']?[\w-]*(?:password|passwd|secret|token|api[-_]?key|private[-_]?key)["']?\s*:[ \t]*)("[^"\n]*"?|'[^'\n]*'?|[^\s"'{[,#][^\n,#}\]]*)/gi

function holdsSecret(shape: Shape, pointer: string, scalar: Scalar): boolean {
  if (scalar === null || scalar === '' || (typeof scalar === 'string' && isReference(scalar))) return false
  return shape.isSecret(pointer) ?? secretName.test(keysOf(pointer).at(-1) ?? '')
}

const stars = (text: string): string => text.replaceAll(/[^\r\n]/g, '*')
