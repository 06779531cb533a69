import { Agent, createServer } from 'node:http'
import { createProxyServer } from 'http-proxy-3'

const { port, upstream: target } = JSON.parse(process.argv[2])
const proxy = createProxyServer({ target, agent: new Agent({ keepAlive: true, maxSockets: 256 }) })
createServer((request, response) => proxy.web(request, response)).listen(port, '127.0.0.1', 4096)
