import t from 'tap'
import { matches, readConsole, runConsole } from './console.ts'

const document = `
Prose with $ signs.

\`\`\`sh
$ never run
\`\`\`

\`\`\`console
$ echo one; echo two >&2
one
two
$ GREETING="hello from 127.0.0.1:8080"
$ echo "$GREETING"
hello from 127.0.0.1:8080
\`\`\`

\`\`\`console
$ cat
$ printf '%s\\n' \\
>   a b
a
b
\`\`\`
`

t.test('reads commands, continued lines and expected output of console blocks only', async (t) => {
  t.match(readConsole(document), [
    { command: 'echo one; echo two >&2', expected: 'one\ntwo', line: 9 },
    { command: 'GREETING="hello from 127.0.0.1:8080"', expected: '' },
    { command: 'echo "$GREETING"' },
    { command: 'cat', expected: '' },
    { command: "printf '%s\\n' \\\n  a b", expected: 'a\nb' }
  ])
  t.throws(() => readConsole('```console\noutput\n```'), /line 2: output before the first command/)
})

t.test('runs a document in one bash, with what it names replaced both ways', async (t) => {
  const results = await runConsole(readConsole(document), {
    cwd: '/',
    replace: { '127.0.0.1:8080': '[::1]:9' }
  })
  t.same(
    results.filter(({ isExpected }) => !isExpected),
    []
  )
  t.equal(results.length, 5)
})

t.test('tells output that differs', async (t) => {
  const steps = readConsole('```console\n$ echo {1,2} 127.0.0.1:7\n1 3\n$ printf x\n```')
  const results = await runConsole(steps, { cwd: '/' })
  t.match(results, [
    { actual: '1 2 127.0.0.1:7', isExpected: false },
    { actual: 'x', isExpected: false }
  ])
})

t.test('does not wait for ever', async (t) => {
  const steps = readConsole('```console\n$ sleep 60\n```')
  await t.rejects(runConsole(steps, { cwd: '/', timeout: 100 }), /no end of: sleep 60/)
})

t.test('three dots stand for what varies', async (t) => {
  t.ok(matches('id ...\nend', 'id 1234  \nend'))
  t.ok(matches('start\n...\nend', 'start\na\nb\nend'))
  t.notOk(matches('id ...', 'key 1'))
  t.notOk(matches('a.c', 'abc'), 'a single dot is a dot')
  t.notOk(matches('a', 'a\nb'))
})
