import { PieceNode } from './pieces.ts'
import { keysOf, pointerOf } from './pointer.ts'
import { isReference, secretMask, withoutPassword } from './sentence.ts'
import type { Shape } from './shape.ts'
import { plainOf, type Source, type SourceNode } from './source.ts'

/** The file as it was written, references kept, with what is secret replaced by "[secret]". */
export function redact({ root, pieces }: Source, shape: Shape): unknown {
  if (root === undefined) return undefined
  const secrets = shape.secretsOf(root)
  const shown = (node: SourceNode, pointer: string): unknown =>
    plainOf(
      node,
      (at, scalar, inner) => {
        if (secrets.has(at) && isLiteral(inner)) return secretMask
        return typeof scalar === 'string' ? withoutPassword(scalar) : scalar
      },
      pointer
    )
  if (pieces === undefined || root.value.kind !== 'object') return shown(root, '')
  const told = new Set([...secrets.keys()].map((pointer) => pointerOf(...keysOf(pointer).slice(0, 2))))
  const all: Record<string, unknown> = {}
  for (const [name, { value }] of root.value.entries) {
    const at = pointerOf(name)
    if (value.kind !== 'array') all[name] = shown(root.value.entries.get(name)!, at)
    else {
      // Of thousands of routes hardly one has to be looked at value by value.
      all[name] = value.items.map((item, index) =>
        item instanceof PieceNode && !told.has(`${at}/${index}`) && !mayHoldPassword.test(item.text)
          ? item.plain
          : shown(item, `${at}/${index}`)
      )
    }
  }
  return all
}

/** A text in JSON without this holds no URL, nor one that is written with escapes. */
const mayHoldPassword = /\\|:\/\//

/** The text of the file with every secret starred out, character by character, so that code frames keep their columns. */
export function maskText({ root, text }: Source, shape: Shape | undefined): string {
  const secrets =
    root === undefined || shape === undefined ? [] : [...shape.secretsOf(root).values()].filter(isLiteral)
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
