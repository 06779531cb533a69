import { createServer } from 'node:http'
import type { Test } from 'tap'
import { type WebSocket, WebSocketServer } from 'ws'
import { listen } from './upstream.ts'

/** A service that speaks WebSocket. */
export const wsUpstream = async (t: Test, options: object = {}) => {
  const server = createServer()
  const sockets = new WebSocketServer({ server, ...options })
  const url = `http://127.0.0.1:${await listen(t, server)}`
  return { url, sockets }
}

/** Resolves once the handshake is done. */
export const opened = (socket: WebSocket) =>
  new Promise<void>((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
  })

/** Resolves with the code and the reason of the end. */
export const closed = (socket: WebSocket) =>
  new Promise<{ code: number; reason: string }>((resolve) =>
    socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }))
  )
