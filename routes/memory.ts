import { ConfigMemory } from '../config/memory.ts'
import { RouteMemory } from './table/memory.ts'

/** What one config leaves to the next, so that a reload costs what has changed. */
export interface GatewayMemory {
  readonly config: ConfigMemory
  readonly routes: RouteMemory
}

export const newMemory = (): GatewayMemory => ({ config: new ConfigMemory(), routes: new RouteMemory() })
