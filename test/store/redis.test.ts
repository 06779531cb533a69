import t from 'tap'
import { openRedis } from '../../services/store/redis.ts'
import { startRedis } from '../support/redis.ts'
import { storeContract } from './contract.ts'

const server = await startRedis()
t.teardown(() => server.stop())

storeContract(async (t) => {
  const store = await openRedis(server.url, 1000)
  t.teardown(() => store.close())
  return store
})
