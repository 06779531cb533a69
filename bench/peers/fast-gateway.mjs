import gateway from 'fast-gateway'

const { port, upstream: target, routes } = JSON.parse(process.argv[2])
const below = (prefix) => ({ prefix, prefixRewrite: prefix, target })
const exactly = (prefix) => ({ ...below(prefix), pathRegex: '' })

await gateway({
  routes:
    routes === 0
      ? [below('/api'), exactly('/big'), exactly('/echo')]
      : Array.from({ length: routes }, (_, index) => below(`/service-${index}`))
}).start(port, '127.0.0.1')
