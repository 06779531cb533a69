import { get } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const attempt = 1000
const pause = 50

/** Resolves true once the node takes connections (or answers `path` below 400), false when `signal` ended the wait. */
export async function becomesReady(
  node: URL,
  path: string | undefined,
  signal: AbortSignal
): Promise<boolean> {
  while (!signal.aborted) {
    if (await (path === undefined || node.protocol !== 'http:' ? accepts(node) : answers(node, path)))
      return !signal.aborted
    await sleep(pause, undefined, { signal }).catch(() => undefined)
  }
  return false
}

/** The port of a node's URL, with the default of its scheme. */
export const portOf = (node: URL): number => Number(node.port || (node.protocol === 'https:' ? 443 : 80))

/** The host of a node's URL as a socket takes it: an IPv6 address without brackets. */
export const hostOf = (node: URL): string => node.hostname.replace(/^\[|\]$/g, '')

function accepts(node: URL): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: hostOf(node), port: portOf(node), timeout: attempt })
    const settle = (ready: boolean): void => {
      socket.destroy()
      resolve(ready)
    }
    socket.once('connect', () => settle(true))
    socket.once('timeout', () => settle(false))
    socket.once('error', () => settle(false))
  })
}

function answers(node: URL, path: string): Promise<boolean> {
  return new Promise((resolve) => {
    // AbortSignal bounds the whole exchange; `timeout` alone would let a byte now and then hold it open.
    const request = get(
      {
        host: hostOf(node),
        port: portOf(node),
        path,
        agent: false,
        headers: { connection: 'close' },
        signal: AbortSignal.timeout(attempt)
      },
      (response) => {
        response.destroy()
        resolve((response.statusCode ?? 500) < 400)
      }
    )
    request.once('error', () => resolve(false))
  })
}
