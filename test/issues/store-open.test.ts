import t from 'tap'
import { openEmbedded } from '../../services/store/embedded.ts'
import { openRedis } from '../../services/store/redis.ts'
import { StoreOpenError } from '../../services/store/store.ts'
import { startRedis } from '../support/redis.ts'

t.test(
  'a database that Redis does not have is refused; the client itself would go on in database 0',
  async (t) => {
    const server = await startRedis()
    t.teardown(() => server.stop())
    await t.rejects(openRedis(`${server.url}/99`, 500), {
      name: 'StoreOpenError',
      message: /it has no database of that number/
    })
    const store = await openRedis(`${server.url}/3`, 500)
    await store.set('toll:here', '3')
    await store.close()
    const other = await openRedis(server.url, 500)
    t.equal(await other.get('toll:here'), undefined)
    await other.close()
  }
)

t.test(
  'a directory for the store where nothing can be made is refused at once',
  {
    skip: process.platform === 'linux' ? false : 'there is no /proc'
  },
  async (t) => {
    t.throws(() => openEmbedded('/proc/nothing/store'), StoreOpenError)
  }
)
