// node client.js URL TEXT: sends one text over a WebSocket and prints the answer, or the refusal.
import { randomBytes } from 'node:crypto'
import { get } from 'node:http'

const [url, text] = process.argv.slice(2)
const headers = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': randomBytes(16).toString('base64')
}

const request = get(url, { headers })
request.on('response', async (response) => {
  console.log(response.statusCode, response.headers['content-type'])
  for await (const chunk of response) console.log(JSON.parse(chunk).detail)
})
request.on('upgrade', (response, socket) => {
  console.log(response.statusCode, response.statusMessage)
  const mask = randomBytes(4)
  const body = Buffer.from(text).map((byte, index) => byte ^ mask[index % 4])
  socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | body.length]), mask, body]))
  socket.once('data', (frame) => {
    console.log(frame.subarray(2).toString())
    socket.destroy()
  })
})
