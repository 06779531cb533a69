import t from 'tap'
import { readConsole, readDocument, runConsole } from './support/console.ts'
import { makeSandbox } from './support/sandbox.ts'
import { startToll } from './support/toll.ts'

t.test('the README can be followed to the letter', async (t) => {
  // What `npm start` serves, in a directory of its own and on free ports.
  const files = ['gateway.config.json', 'examples/demo']
  const box = await makeSandbox(t, Object.fromEntries(files.map((file) => [file, file])))
  const toll = await startToll(t, ['demo'], {
    cwd: box.directory,
    admin: box.at('127.0.0.1:8082'),
    processes: 3
  })

  const steps = readConsole(readDocument('README.md'))
  t.ok(steps.length > 10, 'the README shows the whole story')
  for (const step of await runConsole(steps, { cwd: box.directory, replace: box.replace })) {
    const { command, line, expected, actual, isExpected } = step
    t.ok(isExpected, `line ${line}: ${command}`, { expected, actual })
  }
  t.equal(await toll.stop(), 0)
})

t.test('the README shows each kind of refusal', async (t) => {
  const text = readDocument('README.md')
  for (const sign of ['UNAUTHENTICATED', 'needs the scope', 'More than 2 requests', 'session was ended'])
    t.match(text, sign)
})
