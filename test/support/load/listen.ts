import type { AddressInfo, Server, Socket } from 'node:net'

/** What of a test the parts of this room use: they serve benchmarks as well, which are none. */
export interface Teardown {
  teardown(handler: () => unknown): void
}

/** Has a server listen on a free loopback port until the end, connections and all. */
export async function listen(t: Teardown, server: Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}
