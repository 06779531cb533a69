import type { Store } from './store/store.ts'

/** What outlives one config, as plugins and routes see it. */
export interface Services {
  readonly store: Store
  /** Where the config file is: its relative paths start here. */
  readonly directory: string
  /** Get-or-create by identity: the same key gives the same object before and after a reload. */
  shared<Service>(
    key: string,
    create: () => Service,
    close?: (service: Service) => void | Promise<void>
  ): Service
}

interface Entry {
  readonly value: unknown
  readonly close: (() => void | Promise<void>) | undefined
  holders: number
}

/** A config's hold on the services it asked for. */
export interface Lease {
  shared: Services['shared']
  /** Lets go of everything this lease asked for; what nobody else holds is closed. */
  release(): Promise<void>
}

/** Owns every service of the process. Each config takes a lease; a service is closed when the last lease that asked for it is released. */
export class ServiceRegistry {
  readonly #entries = new Map<string, Entry>()

  lease(): Lease {
    const held = new Set<string>()
    return {
      shared: (key, create, close) => {
        let entry = this.#entries.get(key)
        if (entry === undefined) {
          const value = create()
          entry = { value, close: close && (() => close(value)), holders: 0 }
          this.#entries.set(key, entry)
        }
        if (!held.has(key)) {
          held.add(key)
          entry.holders += 1
        }
        return entry.value as never
      },
      release: async () => {
        const closing: (void | Promise<void>)[] = []
        for (const key of held) {
          const entry = this.#entries.get(key)!
          entry.holders -= 1
          if (entry.holders > 0) continue
          this.#entries.delete(key)
          closing.push(entry.close?.())
        }
        held.clear()
        await Promise.all(closing)
      }
    }
  }
}
