import { configFor } from './upstream.ts'

/** Every value of a service's `transport`: what holds for one has to hold for all. */
export const transports = ['auto', 'http-proxy'] as const

export type Transport = (typeof transports)[number]

/** `configFor` with every service on this transport. */
export const configOver =
  (transport: Transport): typeof configFor =>
  (nodes, { route = {}, service = {} } = {}) =>
    configFor(nodes, { route, service: { transport, ...service } })
