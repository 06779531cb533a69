import assert from 'node:assert/strict'
import { maxSessionData } from './provider.ts'
import { begin, type PlainCheck, rotate } from './provider-check.ts'

/** What a provider has to do with the data of a session. */
export const dataChecks: readonly PlainCheck[] = [
  [
    'data is read as it was written, by name, and survives an exchange and a use',
    async (sessions) => {
      const sid = await begin(sessions)
      assert.deepEqual(await sessions.readData(sid, 'constructor'), { outcome: 'READ', json: undefined })
      for (const [name, json] of [
        ['cart', '{"items":[1,2]}'],
        ['constructor', '"täglich 🧺"']
      ] as const) {
        assert.equal(await sessions.writeData(sid, name, json), 'WRITTEN')
        await rotate(sessions, sid, 0, { isPatient: true })
        await sessions.touch([{ sid, age: 0, confirmed: 0 }])
        assert.deepEqual(await sessions.readData(sid, name), { outcome: 'READ', json })
      }
      assert.equal(await sessions.writeData(sid, 'cart', undefined), 'WRITTEN')
      assert.deepEqual(await sessions.readData(sid, 'cart'), { outcome: 'READ', json: undefined })
    }
  ],
  [
    'data has a bound in bytes, names included, also for many at once',
    async (sessions) => {
      const sid = await begin(sessions)
      const most = JSON.stringify('x'.repeat(maxSessionData - 3))
      assert.equal(await sessions.writeData(sid, 'a', most), 'WRITTEN', 'exactly as much as may be')
      assert.equal(await sessions.writeData(sid, 'a', most), 'WRITTEN', 'in the place of itself')
      assert.equal(await sessions.writeData(sid, 'b', '1'), 'FULL')
      assert.deepEqual(await sessions.readData(sid, 'b'), { outcome: 'READ', json: undefined })
      assert.equal(await sessions.writeData(sid, 'a', undefined), 'WRITTEN', 'removing makes room')
      const wide = JSON.stringify('ä'.repeat(maxSessionData / 2))
      assert.equal(await sessions.writeData(sid, 'a', wide), 'FULL', 'bytes, not characters')
      const half = JSON.stringify('x'.repeat(maxSessionData / 2))
      const all = await Promise.all(['a', 'b', 'c', 'd'].map((name) => sessions.writeData(sid, name, half)))
      assert.equal(all.filter((outcome) => outcome === 'WRITTEN').length, 1)
    }
  ],
  [
    'data of a session that is gone is gone',
    async (sessions) => {
      const sid = await begin(sessions)
      await sessions.writeData(sid, 'a', '1')
      await sessions.destroy(sid)
      assert.deepEqual(await sessions.readData(sid, 'a'), { outcome: 'GONE' })
      assert.equal(await sessions.writeData(sid, 'a', '1'), 'GONE')
      assert.equal(await sessions.exists(sid), false, 'writing makes no session')
    }
  ]
]
