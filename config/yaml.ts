import { type Document, isAlias, isMap, isPair, isScalar, isSeq, parseDocument, type YAMLMap } from 'yaml'
import { ObjectEntries } from './object.ts'
import type { Flaw, Parsed, SourceNode, Span } from './source.ts'

/** Reads one YAML 1.2 document. Anchors, aliases and `<<` merges are resolved, within bounds. */
export function parseYaml(text: string): Parsed {
  const document = parseDocument(text, {
    schema: 'core',
    stringKeys: true,
    uniqueKeys: false,
    prettyErrors: false,
    logLevel: 'error'
  })
  const flaws: Flaw[] = [...document.errors, ...document.warnings].map(({ code, pos: [start, end] }) => ({
    start,
    end,
    sentence: sentences[code] ?? 'the YAML cannot be read here'
  }))
  if (document.contents === null && flaws.length === 0) {
    return { root: undefined, flaws: [{ start: 0, end: 0, sentence: 'the file is empty' }] }
  }
  const root = new Conversion(document, flaws).node(document.contents, { start: 0, end: 0 }, 0)
  return { root, flaws: flaws.slice(0, 10) }
}

const sentences: Readonly<Record<string, string>> = {
  BAD_ALIAS: 'this alias names no anchor',
  BAD_DQ_ESCAPE: 'this escape is not one YAML knows',
  BAD_INDENT: 'this is indented wrongly',
  BAD_SCALAR_START: 'a plain value cannot start like this; put it in quotes',
  BLOCK_AS_IMPLICIT_KEY:
    'a nested mapping cannot start here; put the value in quotes or on a line of its own',
  BLOCK_IN_FLOW: 'a block cannot stand inside brackets',
  MISSING_CHAR: 'a character is missing here (a bracket, a quote, a comma or a colon)',
  MULTILINE_IMPLICIT_KEY: 'a key has to stand on one line',
  MULTIPLE_DOCS: 'a config is one document: remove the second ---',
  NON_STRING_KEY: 'a key has to be a string',
  TAB_AS_INDENT: 'YAML is indented with spaces, not tabs',
  TAG_RESOLVE_FAILED: 'tags are not allowed in a config',
  UNEXPECTED_TOKEN: 'this is not expected here'
}

/** What aliases may add to a file, in nodes: a "billion laughs" file is refused, not expanded. */
const maxAliased = 20_000
const maxDepth = 100

class Conversion {
  readonly #document: Document
  readonly #flaws: Flaw[]
  #aliased = 0

  constructor(document: Document, flaws: Flaw[]) {
    this.#document = document
    this.#flaws = flaws
  }

  /** `around` is where the value would stand if the file gave it a place of its own. */
  node(node: unknown, around: Span, depth: number, aliased = false): SourceNode {
    if (depth > maxDepth) return this.#refuse(around, 'this is nested too deeply')
    if (aliased) this.#aliased += 1
    if (this.#aliased > maxAliased) return this.#refuse(around, 'aliases make the config too large')
    if (isAlias(node)) {
      const target = node.resolve(this.#document)
      const span = spanOf(node) ?? around
      return target === undefined
        ? this.#refuse(span, 'this alias names no anchor')
        : this.node(target, span, depth + 1, true)
    }
    const span = spanOf(node) ?? around
    if (isMap(node)) {
      const object = new ObjectEntries(this.#flaws)
      for (const [key, place, value] of this.#pairs(node, span, depth)) {
        object.add(key, place, this.node(value, place, depth + 1, aliased))
      }
      for (const [key, place, value] of this.#merged(node, span, depth)) {
        if (!object.entries.has(key)) object.add(key, place, this.node(value, place, depth + 1, true))
      }
      return { ...span, value: { kind: 'object', entries: object.entries } }
    }
    if (isSeq(node)) {
      const items = node.items.map((item) => this.node(item, span, depth + 1, aliased))
      return { ...span, value: { kind: 'array', items } }
    }
    const scalar = isScalar(node) ? node.value : null
    return { ...span, value: { kind: 'scalar', scalar: plainScalar(scalar) } }
  }

  #pairs(map: YAMLMap, around: Span, depth: number): [string, Span, unknown][] {
    if (depth > maxDepth) return []
    return map.items.flatMap((pair) => {
      if (!isPair(pair) || !isScalar(pair.key) || pair.key.value === '<<') return []
      return [[String(pair.key.value), spanOf(pair.key) ?? around, pair.value] as [string, Span, unknown]]
    })
  }

  /** Entries of the mappings that `<<` names; the mapping's own entries win over them, the first named over the next. */
  #merged(map: YAMLMap, around: Span, depth: number): [string, Span, unknown][] {
    return map.items.flatMap((pair) => {
      if (!isPair(pair) || !isScalar(pair.key) || pair.key.value !== '<<') return []
      const named = isSeq(pair.value) ? pair.value.items : [pair.value]
      return named.flatMap((item) => {
        const target = isAlias(item) ? item.resolve(this.#document) : item
        this.#aliased += 1
        if (depth > maxDepth || this.#aliased > maxAliased) return []
        if (isMap(target)) {
          return [...this.#pairs(target, around, depth + 1), ...this.#merged(target, around, depth + 1)]
        }
        this.#refuse(spanOf(pair.key) ?? around, '<< takes a mapping or a list of mappings')
        return []
      })
    })
  }

  #refuse(span: Span, sentence: string): SourceNode {
    if (!this.#flaws.some((flaw) => flaw.sentence === sentence)) this.#flaws.push({ ...span, sentence })
    return { ...span, value: { kind: 'scalar', scalar: null } }
  }
}

function spanOf(node: unknown): Span | undefined {
  const range = (node as { range?: readonly [number, number, number] | null } | undefined)?.range
  return range ? { start: range[0], end: range[1] } : undefined
}

const plainScalar = (value: unknown): string | number | boolean | null =>
  typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null
