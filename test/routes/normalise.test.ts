import t from 'tap'
import { normalise } from '../../routes/table/normalise.ts'

t.test('leaves a plain path as it is', (t) => {
  for (const path of ['/', '/a', '/a/', '/a/b.js', '/a..b/...', '/@scope/x:y', "/!$&'()*+,=~_-", '/a[0]']) {
    const normal = normalise(path)
    t.equal(normal.path, path)
    t.equal(normal.resource, path)
    t.equal(normal.refusal, undefined)
    t.equal(normal.encoded, false)
  }
  t.end()
})

t.test('brings two spellings of one path to one form', (t) => {
  const cases: readonly [string, string, string][] = [
    ['/%61dmin', '/admin', '/admin'],
    ['/%7Eme/%2dx', '/~me/-x', '/~me/-x'],
    ['/caf%c3%a9', '/caf%C3%A9', '/caf%C3%A9'],
    ['//a///b//', '/a/b/', '/a/b/'],
    ['/a%20b', '/a%20b', '/a b'],
    ['/%40me', '/%40me', '/@me'],
    ['/a{b}|c^"<>`', '/a%7Bb%7D%7Cc%5E%22%3C%3E%60', '/a{b}|c^"<>`'],
    ['/admin;a=1/x;b', '/admin;a=1/x;b', '/admin/x'],
    ['/;a/admin', '/;a/admin', '/admin'],
    ['/admin;', '/admin;', '/admin'],
    ['/a%3bb', '/a%3Bb', '/a'],
    ['/100%25', '/100%25', '/100%25'],
    ['/%2561', '/%2561', '/%2561']
  ]
  for (const [sent, path, resource] of cases) {
    const normal = normalise(sent)
    t.equal(normal.refusal, undefined, sent)
    t.equal(normal.path, path, sent)
    t.equal(normal.resource, resource, sent)
    t.equal(normalise(normal.path).path, path, `${sent} twice`)
  }
  t.end()
})

t.test('refuses what two servers could read differently', (t) => {
  const cases: readonly [string, RegExp][] = [
    ['/a/../b', /dot segment/],
    ['/a/..', /dot segment/],
    ['/./a', /dot segment/],
    ['/.', /dot segment/],
    ['/a/..;/b', /dot segment/],
    ['/a/..;x=1/b', /dot segment/],
    ['/a/.;/b', /dot segment/],
    ['/a/..%3b/b', /dot segment/],
    ['/a/%2e%2e/b', /dot segment/],
    ['/a/.%2e/b', /dot segment/],
    ['/a/%20../b', /dot segment/],
    ['/a/..%20/b', /dot segment/],
    ['/a/..%2fb', /dot segment/],
    ['/a/..%5cb', /dot segment/],
    ['/a\\b', /backslash/],
    ['/a\\..\\b', /backslash/],
    ['/a%00', /NUL/],
    ['/a%0d%0ab', /control/],
    ['/a%09', /control/],
    ['/a%7f', /control/],
    ['/a%', /broken/],
    ['/a%2', /broken/],
    ['/a%zz', /broken/],
    ['/a%u002e', /broken/],
    ['/a#b', /fragment/],
    ['/caf\u00e9', /escaped/],
    ['/a b', /escaped/],
    ['/a\u0001', /escaped/],
    ['/%c0%af', /overlong/],
    ['/%c0%ae%c0%ae/', /overlong/],
    ['/%e0%80%af', /overlong/],
    ['/%f0%80%80%af', /overlong/],
    ['', /slash/],
    ['a', /slash/],
    ['*', /slash/]
  ]
  for (const [sent, reason] of cases) t.match(normalise(sent).refusal, reason, sent)
  t.end()
})

t.test('marks escaped slashes, backslashes and dots, once or twice escaped', (t) => {
  for (const path of ['/a%2fb', '/a%5Cb', '/a%2ejs', '/a%252fb', '/a%252525c', '/a%25255cb', '/a%2500']) {
    t.equal(normalise(path).encoded, !path.includes('252525c'), path)
  }
  t.equal(normalise('/a%2fb').path, '/a%2Fb')
  t.equal(normalise('/a%2ejs').path, '/a.js')
  t.end()
})
