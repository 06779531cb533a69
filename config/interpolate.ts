import { open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { mayRefer, type Part } from './pieces.ts'
import { pointerOf } from './pointer.ts'
import { eachScalar, type Flaw, plainOf, type Source, type SourceNode, type Span } from './source.ts'

export interface Interpolation {
  /** The plain value of the file with every reference replaced. */
  readonly value: unknown
  /** Which pointers came from outside the file, with the references as written (defaults left out). */
  readonly references: ReadonlyMap<string, Reference>
  /** What was put in, to keep it out of every message; keys are the values, values the references. */
  readonly inserted: ReadonlyMap<string, string>
  /** Absolute paths of the files that were named. */
  readonly files: readonly string[]
  readonly flaws: readonly (Flaw & { readonly pointer: string })[]
}

export interface Reference {
  readonly label: string
  /** The whole value is one reference, so it may stand where a number or a boolean is wanted. */
  readonly whole: boolean
}

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  /** What a relative path in `${file:}` is relative to. */
  readonly directory: string
}

/** `$${` is a plain `${`; then `${NAME}`, `${NAME:-default}` and `${file:path}`; what is left is a mistake. */
const grammar = /\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?|file:([^}]+))\}|\$\{[^}]*\}?/g

/** No secret is larger; a wrong path to a large file should not end in memory. */
const maxFileBytes = 64 * 1024

/** Replaces what a config refers to outside of itself: environment variables and files. */
export async function interpolate(source: Source, { env, directory }: Surroundings): Promise<Interpolation> {
  const whole: { value: unknown } = { value: undefined }
  const parts = partsOf(source, whole)
  const references = new Map<string, Reference>()
  const inserted = new Map<string, string>()
  const flaws: (Flaw & { pointer: string })[] = []
  for (const part of parts) {
    eachKey(
      part.node,
      (pointer, key) => {
        const sentence = 'references are replaced in values, not in keys'
        flaws.push({ start: key.start, end: key.end, pointer, sentence })
      },
      part.pointer
    )
  }
  const files = await readFiles(parts, directory)
  const nodes = new Map<string, SourceNode>()
  const look = (pointer: string, scalar: unknown, node: SourceNode): void => {
    if (typeof scalar === 'string' && scalar.includes('${')) nodes.set(pointer, node)
  }
  for (const { node, pointer } of parts) eachScalar(node, look, pointer)

  const replace = (pointer: string, scalar: unknown): unknown => {
    const node = nodes.get(pointer)
    if (node === undefined || typeof scalar !== 'string') return scalar
    const labels: string[] = []
    let isWhole = false
    const text = scalar.replace(grammar, (written, name?: string, fallback?: string, path?: string) => {
      if (written === '$${') return '${'
      const label = name !== undefined ? `\${${name}}` : written
      labels.push(label)
      isWhole = written.length === scalar.length
      const found =
        name !== undefined ? fromEnvironment(env, name, fallback) : fromFile(files, directory, path)
      if (typeof found === 'string') {
        if (found !== '') inserted.set(found, label)
        return found
      }
      const start = source.text.indexOf(written, node.start)
      const span = start !== -1 && start < node.end ? { start, end: start + written.length } : node
      flaws.push({ start: span.start, end: span.end, pointer, ...found })
      return ''
    })
    if (labels.length > 0) references.set(pointer, { label: labels.join(' and '), whole: isWhole })
    return text
  }
  for (const { node, pointer, put } of parts) put(plainOf(node, replace, pointer))
  return { value: whole.value, references, inserted, files: [...files.keys()], flaws }
}

/** The parts of a file that may hold references, and in `whole` everything else. */
function partsOf({ pieces, root, text }: Source, whole: { value: unknown }): readonly Part[] {
  if (pieces !== undefined) {
    whole.value = pieces.value
    return pieces.referring
  }
  if (root === undefined) return []
  if (mayRefer.test(text)) {
    const put = (value: unknown): void => {
      whole.value = value
    }
    return [{ pointer: '', node: root, put }]
  }
  whole.value = plainOf(root, (_, scalar) => scalar)
  return []
}

/** Calls `visit` for every key that holds what looks like a reference. */
function eachKey(node: SourceNode, visit: (pointer: string, key: Span) => void, pointer = ''): void {
  const { value } = node
  if (value.kind === 'array') {
    for (const [index, item] of value.items.entries()) eachKey(item, visit, `${pointer}/${index}`)
  } else if (value.kind === 'object') {
    for (const [name, entry] of value.entries) {
      const at = pointer + pointerOf(name)
      if (name.includes('${')) visit(at, entry.key ?? entry)
      eachKey(entry, visit, at)
    }
  }
}

type Found = string | { readonly sentence: string }

function fromEnvironment(env: Surroundings['env'], name: string, fallback: string | undefined): Found {
  const set = env[name]
  // As in a shell, ":-" also stands in for a variable that is set to nothing.
  if (fallback !== undefined) return set === undefined || set === '' ? fallback.slice(2) : set
  return (
    set ?? {
      sentence: `the environment variable ${name} is not set; set it, or give a default: \${${name}:-default}`
    }
  )
}

function fromFile(files: ReadonlyMap<string, Found>, directory: string, path: string | undefined): Found {
  if (path === undefined) {
    return {
      sentence: `this reference is none of \${NAME}, \${NAME:-default} and \${file:path}; a plain "\${" is written "$\${"`
    }
  }
  return files.get(resolve(directory, path)) ?? { sentence: `the file ${path} cannot be read` }
}

async function readFiles(parts: readonly Part[], directory: string): Promise<Map<string, Found>> {
  const paths = new Set<string>()
  const look = (_: string, scalar: unknown): void => {
    if (typeof scalar !== 'string' || !scalar.includes('${file:')) return
    for (const [written, , , path] of scalar.matchAll(grammar)) {
      if (path !== undefined && written !== '$${') paths.add(path)
    }
  }
  for (const { node } of parts) eachScalar(node, look)
  const found = new Map<string, Found>()
  for (const path of paths)
    found.set(resolve(directory, path), await readSecret(resolve(directory, path), path))
  return found
}

async function readSecret(absolute: string, path: string): Promise<Found> {
  try {
    const file = await open(absolute, 'r')
    try {
      if (!(await file.stat()).isFile()) return { sentence: `${path} is not a file` }
      const buffer = Buffer.alloc(maxFileBytes + 1)
      const { bytesRead } = await file.read(buffer, 0, buffer.length, 0)
      if (bytesRead > maxFileBytes) return { sentence: `the file ${path} is larger than 64 KiB` }
      return buffer.toString('utf8', 0, bytesRead).replace(/\r?\n$/, '')
    } finally {
      await file.close()
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    return {
      sentence:
        code === 'ENOENT'
          ? `the file ${path} does not exist`
          : code === 'EACCES'
            ? `the file ${path} may not be read by this user`
            : `the file ${path} cannot be read`
    }
  }
}
