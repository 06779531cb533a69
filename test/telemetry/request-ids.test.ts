import type { IncomingMessage } from 'node:http'
import t from 'tap'
import { makeRequestIds, makeTraceparents } from '../../plugins/request-id.ts'

const request = (headers: Record<string, string> = {}) => ({ headers }) as unknown as IncomingMessage

t.test('no two requests have one id, and those of one process begin alike', async (t) => {
  const idOf = makeRequestIds()
  const ids = Array.from({ length: 50_000 }, () => idOf(request()))
  t.equal(new Set(ids).size, ids.length)
  t.equal(new Set(ids.map((id) => id.slice(0, 9))).size, 1)
  const odd = ids.find((id) => !/^[\w-]{8}-[0-9a-z]{2,4}$/.test(id))
  t.equal(odd, undefined)
  t.not(makeRequestIds()(request()).slice(0, 8), ids[0]!.slice(0, 8))
  t.equal(idOf(request({ 'x-request-id': 'of-the-client' })), 'of-the-client')
  t.match(idOf(request({ 'x-request-id': 'two words' })), /^[\w-]{8}-/)
})

t.test('each request without a trace begins one', async (t) => {
  const traceparentOf = makeTraceparents()
  const all = Array.from({ length: 5000 }, () => traceparentOf(request()))
  t.equal(new Set(all.map((one) => one.slice(3, 35))).size, all.length)
  t.equal(
    all.find((one) => !/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/.test(one)),
    undefined
  )
  const given = `00-${'a1'.repeat(16)}-${'b2'.repeat(8)}-01`
  t.equal(traceparentOf(request({ traceparent: given })), given)
  t.not(traceparentOf(request({ traceparent: given.replace(/a1/g, '00') })).slice(3, 35), '0'.repeat(32))
})
