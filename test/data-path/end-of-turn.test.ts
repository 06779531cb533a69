import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { atEndOfTurn } from '../../services/end-of-turn.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

t.test('what is put off is done at the end of the turn, in order', async (t) => {
  const done: number[] = []
  for (const number of [1, 2, 3]) atEndOfTurn(() => done.push(number))
  await Promise.resolve()
  t.same(done, [])
  await turn()
  t.same(done, [1, 2, 3])
})

t.test('what is put off at the end of a turn is done at the end of the next one', async (t) => {
  const done: string[] = []
  atEndOfTurn(() => {
    done.push('first')
    atEndOfTurn(() => done.push('second'))
  })
  await turn()
  t.same(done, ['first'])
  await turn()
  t.same(done, ['first', 'second'])
})

t.test('of very many none waits for all, and none is done in the middle of something else', async (t) => {
  let done = 0
  for (let number = 0; number < 300; number += 1) atEndOfTurn(() => (done += 1))
  t.equal(done, 0)
  await Promise.resolve()
  t.equal(done, 300)
  for (let number = 0; number < 200; number += 1) atEndOfTurn(() => (done += 1))
  await Promise.resolve()
  t.equal(done, 300)
  await turn()
  t.equal(done, 500)
})

t.test('one that throws takes no other with it', async (t) => {
  const script = `
    import { atEndOfTurn } from ${JSON.stringify(new URL('../../services/end-of-turn.js', import.meta.url))}
    process.on('uncaughtException', ({ message }) => console.log(message))
    atEndOfTurn(() => console.log('before'))
    atEndOfTurn(() => { throw new Error('thrown') })
    atEndOfTurn(() => console.log('behind'))
    atEndOfTurn(() => console.log('last'))`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
  t.same(stdout.trim().split('\n'), ['before', 'thrown', 'behind', 'last'])
})
