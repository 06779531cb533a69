import t from 'tap'
import { openEmbedded } from '../../services/store/embedded.ts'
import { storeContract } from './contract.ts'

const directory = t.testdir()

storeContract(async (t) => {
  const store = openEmbedded(`${directory}/store`)
  t.teardown(() => store.close())
  return store
})
