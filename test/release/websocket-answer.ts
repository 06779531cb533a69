import { RawClient } from '../support/upstream.ts'

/** The head of the answer to a WebSocket handshake with some headers more. */
export async function websocketAnswer(origin: string, headers = ''): Promise<string> {
  const client = new RawClient(origin).write(
    `GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${headers}\r\n`
  )
  try {
    return await client.until(/\r\n\r\n/)
  } finally {
    client.close()
  }
}
