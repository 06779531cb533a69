import type { Extension } from './config.ts'
import type { Shape } from './shape.ts'

interface Known {
  readonly value: object
  /** The last load that had it. */
  load: number
}

/**
 * What one config leaves to the next: the items of its lists, whole and frozen, by their text. Most reloads change one route of many;
 * the others are neither read nor checked nor kept a second time. Nothing that holds a reference is kept, for what it stands for may
 * change behind the same text.
 */
export class ConfigMemory {
  readonly #lists = new Map<string, Map<string, Known>>()
  readonly #digests = new WeakMap<object, string>()
  #shape: Shape | undefined
  #extensions: readonly Extension[] = []
  #load = 0

  /** The shape that everything kept is of; undefined where another set of plugins from outside asks for another one. */
  shapeFor(extensions: readonly Extension[]): Shape | undefined {
    const isSame =
      extensions.length === this.#extensions.length &&
      extensions.every((extension, index) => isLike(extension, this.#extensions[index]!))
    return isSame ? this.#shape : undefined
  }

  /** Starts anew with another shape. */
  reshape(shape: Shape, extensions: readonly Extension[]): void {
    this.#lists.clear()
    this.#shape = shape
    this.#extensions = extensions
  }

  begin(): void {
    this.#load += 1
  }

  find(list: string, text: string): object | undefined {
    const known = this.#lists.get(list)?.get(text)
    if (known === undefined) return undefined
    known.load = this.#load
    return known.value
  }

  keep(list: string, text: string, value: object): void {
    let items = this.#lists.get(list)
    if (items === undefined) {
      items = new Map()
      this.#lists.set(list, items)
    }
    // A part of a text holds on to all of it: only a copy lets the rest go.
    items.set(Buffer.from(text).toString(), { value, load: this.#load })
  }

  /** Short hash of an item that is kept. */
  digest(item: object): string | undefined {
    return this.#digests.get(item)
  }

  keepDigest(item: object, digest: string): void {
    this.#digests.set(item, digest)
  }

  /** Forgets what the config that was just accepted does not have. */
  sweep(): void {
    for (const items of this.#lists.values()) {
      for (const [text, { load }] of items) if (load !== this.#load) items.delete(text)
    }
  }
}

const isLike = (one: Extension, other: Extension): boolean =>
  one.at === other.at && one.key === other.key && one.slice === other.slice && one.route === other.route
