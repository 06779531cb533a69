import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'

/**
 * Renders a Helm chart whose templates keep to a small part of what Helm knows: values by their path, `$`, if/else, range, with, define,
 * include, toYaml, toPrettyJson, nindent, quote, default, and comments. Fails on anything else, so that a chart that passes needs no more.
 * Documents by the name of their template.
 */
export function renderChart(
  directory: string,
  release: string,
  overrides: Readonly<Record<string, unknown>> = {}
): ReadonlyMap<string, unknown> {
  const read = (file: string) => readFileSync(join(directory, file), 'utf8')
  const chart = parse(read('Chart.yaml')) as Record<string, unknown>
  const scope = {
    Values: merged(parse(read('values.yaml')), overrides),
    Release: { Name: release, Service: 'Helm' },
    Chart: { Name: chart.name, AppVersion: chart.appVersion, Version: chart.version }
  }
  const files = readdirSync(join(directory, 'templates')).sort()
  const templates = files.map((file) => ({ file, nodes: treeOf(read(`templates/${file}`), file) }))
  const renderer = new Renderer(scope)
  for (const { nodes } of templates) renderer.define(nodes)
  return new Map(
    templates
      .map(({ file, nodes }) => [file, renderer.render(nodes, scope)] as const)
      .filter(([file, text]) => !file.startsWith('_') && text.trim() !== '')
      .map(([file, text]) => [file, parse(text, { uniqueKeys: true })])
  )
}

/** Objects are merged, everything else is replaced, and null takes a value away: as Helm does. */
export function merged(value: unknown, over: unknown): unknown {
  if (!isObject(value) || !isObject(over)) return over
  const result: Record<string, unknown> = { ...value }
  for (const [key, one] of Object.entries(over)) {
    if (one === null) delete result[key]
    else result[key] = key in value ? merged(value[key], one) : one
  }
  return result
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly expression: string }
  | {
      readonly kind: 'if' | 'range' | 'with' | 'define'
      readonly expression: string
      readonly body: Node[]
      readonly otherwise: Node[]
    }

type Block = Extract<Node, { body: Node[] }>

/** The template as a tree; dashes inside of the braces take the white space before or after them away. */
function treeOf(text: string, file: string): Node[] {
  const root: Node[] = []
  const open: { block: Block; into: Node[] }[] = []
  const add = (node: Node): void => void (open.at(-1)?.into ?? root).push(node)
  let at = 0
  let trims = false
  for (const match of text.matchAll(/\{\{(-)?((?:"[^"]*"|[^"}])*?)(-)?\}\}/g)) {
    const [whole, before, inner = '', after] = match
    let plain = text.slice(at, match.index)
    if (trims) plain = plain.trimStart()
    add({ kind: 'text', text: before === undefined ? plain : plain.trimEnd() })
    at = match.index + whole.length
    trims = after !== undefined
    const action = inner.trim()
    const [, word = '', rest = ''] = /^(\S+)\s*(.*)$/s.exec(action) ?? []
    if (action.startsWith('/*')) continue
    if (word === 'if' || word === 'range' || word === 'with' || word === 'define') {
      const block: Block = { kind: word, expression: rest, body: [], otherwise: [] }
      add(block)
      open.push({ block, into: block.body })
    } else if (action === 'else') {
      const last = open.at(-1)
      if (last === undefined) throw new Error(`${file}: "else" without a beginning`)
      last.into = last.block.otherwise
    } else if (action === 'end') {
      if (open.pop() === undefined) throw new Error(`${file}: "end" without a beginning`)
    } else add({ kind: 'print', expression: action })
  }
  if (open.length > 0) throw new Error(`${file}: "${open[0]!.block.kind}" without an end`)
  const rest = text.slice(at)
  add({ kind: 'text', text: trims ? rest.trimStart() : rest })
  return root
}

class Renderer {
  readonly #root: unknown
  readonly #defined = new Map<string, Node[]>()

  constructor(root: unknown) {
    this.#root = root
  }

  define(nodes: readonly Node[]): void {
    for (const node of nodes) {
      if (node.kind === 'define') this.#defined.set(JSON.parse(node.expression), node.body)
    }
  }

  render(nodes: readonly Node[], dot: unknown): string {
    return nodes.map((node) => this.#node(node, dot)).join('')
  }

  #node(node: Node, dot: unknown): string {
    switch (node.kind) {
      case 'text':
        return node.text
      case 'define':
        return ''
      case 'print': {
        const value = this.#value(node.expression, dot)
        if (typeof value === 'object' || value === undefined)
          throw new Error(`{{ ${node.expression} }} prints ${JSON.stringify(value)}`)
        return String(value)
      }
      case 'range': {
        const list = this.#value(node.expression, dot)
        if (!Array.isArray(list)) throw new Error(`range of what is no list: ${node.expression}`)
        if (list.length === 0) return this.render(node.otherwise, dot)
        return list.map((one) => this.render(node.body, one)).join('')
      }
      default: {
        const value = this.#value(node.expression, dot)
        if (!isTrue(value)) return this.render(node.otherwise, dot)
        return this.render(node.body, node.kind === 'with' ? value : dot)
      }
    }
  }

  /** A pipeline: what each part gives is the last argument of the next. */
  #value(expression: string, dot: unknown): unknown {
    let value: unknown
    for (const [index, part] of expression.split(' | ').entries()) {
      const words = part.trim().match(/"[^"]*"|\S+/g) ?? []
      const [first = '', ...rest] = words
      if (/^[a-zA-Z]+$/.test(first)) {
        const given = rest.map((word) => this.#operand(word, dot))
        value = this.#call(first, index === 0 ? given : [...given, value])
      } else if (index === 0 && rest.length === 0) value = this.#operand(first, dot)
      else throw new Error(`this is more than the renderer knows: {{ ${expression} }}`)
    }
    return value
  }

  #operand(word: string, dot: unknown): unknown {
    if (/^".*"$/.test(word)) return JSON.parse(word)
    if (/^\d+$/.test(word)) return Number(word)
    const [, root, path = ''] = /^(\$)?((?:\.[A-Za-z]\w*)+|\.)?$/.exec(word) ?? []
    if (path === '' && root === undefined) throw new Error(`this is more than the renderer knows: ${word}`)
    let value = root === undefined ? dot : this.#root
    for (const name of path.split('.').filter((one) => one !== '')) {
      if (!isObject(value)) throw new Error(`${word}: there is no ${name} in what is no object`)
      value = value[name]
    }
    return value
  }

  #call(name: string, given: readonly unknown[]): unknown {
    const [first, second] = given
    switch (name) {
      case 'include': {
        const nodes = this.#defined.get(first as string)
        if (nodes === undefined) throw new Error(`no template is called ${first}`)
        return this.render(nodes, second)
      }
      case 'toYaml':
        return stringify(first).trimEnd()
      case 'toPrettyJson':
        return JSON.stringify(first, undefined, 2)
      case 'quote':
        return JSON.stringify(String(first))
      case 'default':
        return isTrue(second) ? second : first
      case 'nindent':
        return `\n${String(second).replace(/^/gm, ' '.repeat(first as number))}`
      default:
        throw new Error(`the renderer knows no function "${name}"`)
    }
  }
}

/** What Go's templates take for true: nothing that is empty. */
function isTrue(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0
  return Boolean(value)
}
