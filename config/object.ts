import type { Flaw, SourceNode, Span } from './source.ts'

/** Collects the entries of one object; a key that is there twice, or that no object may have, is a flaw. */
export class ObjectEntries {
  readonly entries = new Map<string, SourceNode>()
  readonly #flaws: Flaw[]

  constructor(flaws: Flaw[]) {
    this.#flaws = flaws
  }

  add(key: string, place: Span, node: SourceNode): void {
    if (key === '__proto__') {
      this.#flaws.push({ ...place, sentence: 'the key "__proto__" is not allowed', harmless: true })
    } else if (this.entries.has(key)) {
      this.#flaws.push({ ...place, sentence: `the key "${key}" is here twice`, harmless: true })
    } else this.entries.set(key, { ...node, key: place })
  }
}
