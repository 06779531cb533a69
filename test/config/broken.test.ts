import t from 'tap'
import { renderMistake } from '../../config/frame.ts'
import { marked, placeOf, refusal } from '../support/config.ts'

/** A config with one service; what is under test is put in as the routes, or as more keys. */
const withRoutes = (routes: string): string =>
  `{\n  "services": { "orders": { "nodes": ["http://127.0.0.1:4001"] } },\n  "routes": [${routes}]\n}`
const withKeys = (keys: string): string => `{\n  ${keys}\n}`
const route = (keys: string): string =>
  withRoutes(`\n    { "id": "orders", "path": "/orders/*", "service": "orders", ${keys} }\n  `)

interface Case {
  /** « stands before each place that has to be named. */
  readonly text: string
  readonly says: readonly RegExp[]
  readonly means?: readonly (string | undefined)[]
  readonly path?: string
}

const cases: Readonly<Record<string, Case>> = {
  'both listeners at one address': {
    text: withKeys('"listen": { "public": "127.0.0.1:8082", "admin": «"127.0.0.1:8082" }'),
    says: [/^listen\.public has the address "127\.0\.0\.1:8082" as well; take another port$/]
  },
  // 1. Keys that nobody reads.
  'a key of the file that is misspelt': {
    text: withKeys('«"lisen": {}'),
    says: [/^unknown key "lisen" in the config$/],
    means: ['listen']
  },
  'a key of the file that resembles nothing': {
    text: withKeys('«"xylophone": {}'),
    says: [/^unknown key "xylophone" in the config; it takes "\$schema", "listen", .* or "plugins"$/]
  },
  'auth misspelt on a route': {
    text: route('«"auht": "required"'),
    says: [/^unknown key "auht" in routes\[0\]$/],
    means: ['auth']
  },
  'auth with a capital': { text: route('«"Auth": "required"'), says: [/"Auth"/], means: ['auth'] },
  'auth in the plural': { text: route('«"auths": "required"'), says: [/"auths"/], means: ['auth'] },
  'session misspelt within auth': {
    text: route('"auth": { «"sesion": "strict" }'),
    says: [/^unknown key "sesion" in routes\[0\]\.auth$/],
    means: ['session']
  },
  'a key one level too far out': {
    text: route('«"session": "strict"'),
    says: [/"session" in routes\[0\]/],
    means: ['auth.session']
  },
  'a key one level too far in': {
    text: route('«"store": {}'),
    says: [/^unknown key "store" in routes\[0\]; it belongs in the config$/]
  },
  'a key in another spelling': {
    text: withKeys('"services": { "a": { "nodes": ["http://a"], "timeouts": { «"con-nect": "1s" } } }'),
    says: [/"con-nect" in services\.a\.timeouts/],
    means: ['connect']
  },
  // 2. Values of the wrong kind, or out of bounds.
  'a number in quotes': {
    text: route('"limit": { "qps": «"100" }'),
    says: [/^routes\[0\]\.limit\.qps must be a number, not the string "100"; write it without quotes$/]
  },
  'a boolean in quotes': {
    text: withKeys('"auth": { "issuer": "x", "cookie": «"true" }'),
    says: [/^auth\.cookie must be true or false, not the string "true"; write it without quotes$/]
  },
  'a number that is too small': {
    text: route('"limit": { "qps": «0 }'),
    says: [/^routes\[0\]\.limit\.qps must be more than 0, not 0$/]
  },
  'a number that is not whole': {
    text: route('"limit": { "qps": 1, "slack": «1.5 }'),
    says: [/slack must be a whole number, not 1\.5$/]
  },
  'a duration without a unit': {
    text: withKeys('"auth": { "issuer": "x", "access": «900 }'),
    says: [/^auth\.access must be a string such as "500ms", not 900$/]
  },
  'a duration in words': {
    text: withKeys('"auth": { "issuer": "x", "access": «"15 minutes" }'),
    says: [/^auth\.access must look like "500ms" or "15m", not the string "15 minutes"$/],
    means: ['15m']
  },
  'an object where a list belongs': {
    text: withKeys('"routes": «{}'),
    says: [/^routes must be a list, not an object$/]
  },
  'null where a string belongs': {
    text: withKeys('"listen": { "public": «null }'),
    says: [/^listen\.public must be a string, not null$/]
  },
  'a service without nodes': {
    text: withKeys('"services": { "orders": { "nodes": «[] } }'),
    says: [
      /^services\.orders\.nodes must not be empty, not a list$|^services\.orders\.nodes must not be empty$/
    ]
  },
  'a name that no service may have': {
    text: withKeys(
      '"services": { «"My Orders": { "nodes": ["http://a"] }, «"X": { "nodes": ["http://b"] } }'
    ),
    says: [/^"My Orders" cannot be a name in services/, /^"X" cannot/]
  },
  // 3. What is missing.
  'a route without a service': {
    text: withRoutes('\n    «{ "id": "orders", "path": "/orders" }'),
    says: [/^routes\[0\] lacks "service"$/]
  },
  'a section without what it needs': {
    text: withKeys('«"auth": {}'),
    says: [/^auth lacks "issuer"$/]
  },
  // 4. One of several.
  'a word that is not among those allowed': {
    text: route('"auth": «"requird"'),
    says: [
      /^routes\[0\]\.auth must be "none", "optional", "required" or an object, not the string "requird"$/
    ],
    means: ['required']
  },
  'a boolean for a word': {
    text: route('"auth": «true'),
    says: [/auth must be "none", "optional", "required" or an object, not true$/]
  },
  'a word in the object form of a union': {
    text: route('"auth": { "session": «"stricter" }'),
    says: [/^routes\[0\]\.auth\.session must be "stateless", "revocable" or "strict", not/],
    means: ['strict']
  },
  'a driver that does not exist': {
    text: withKeys('"store": { "driver": «"reddis", "url": "redis://localhost" }'),
    says: [/^store\.driver must be "embedded" or "redis", not the string "reddis"$/],
    means: ['redis']
  },
  'a key of the other driver': {
    text: withKeys('"store": { "driver": "redis", «"pth": 1, "url": "redis://localhost" }'),
    says: [/^unknown key "pth" in store/]
  },
  'a driver without what it needs': {
    text: withKeys('«"store": { "driver": "redis" }'),
    says: [/^store lacks "url"$/]
  },
  'a method that is none': {
    text: route('"methods": ["GET", «"get"]'),
    says: [/^routes\[0\]\.methods\[1\] must be "GET" or "POST"/],
    means: ['GET']
  },
  'a node that is no address': {
    text: withKeys('"services": { "a": { "nodes": [«"localhost:80"] } }'),
    says: [
      /^services\.a\.nodes\[0\] must look like "http:\/\/127\.0\.0\.1:4001", not the string "localhost:80"$/
    ],
    means: ['http://localhost:80']
  },
  'a node with a weight of nothing': {
    text: withKeys('"services": { "a": { "nodes": [{ "url": "http://a", "weight": «0 }] } }'),
    says: [/^services\.a\.nodes\[0\]\.weight must be at least 1, not 0$/]
  },
  // 5. Names.
  'a service that does not exist': {
    text: withRoutes('\n    { "id": "a", "path": "/a", "service": «"ordres" }'),
    says: [/^there is no service "ordres"$/],
    means: ['orders']
  },
  'a service called like a method of objects': {
    text: withRoutes('{ "id": "a", "path": "/a", "service": «"constructor" }'),
    says: [/^there is no service "constructor"; there are "orders"$/]
  },
  'an id that is taken': {
    text: withRoutes(
      '{ "id": "a", "path": "/a", "service": "orders" },\n{ "id": «"a", "path": "/b", "service": "orders" }'
    ),
    says: [/^the id "a" is taken by routes\[0\]$/]
  },
  'a node given twice': {
    text: withKeys('"services": { "a": { "nodes": ["http://a:80", { "url": "http://b" }, «"http://a/"] } }'),
    says: [/^the service "a" has this node already, as nodes\[0\]/]
  },
  // 6. The text itself.
  'a comma forgotten': {
    text: '{\n  "store": {}\n  «"listen": {}\n}',
    says: [/^a comma is missing before this$/]
  },
  'a key that is there twice': {
    text: withKeys('"listen": {},\n  «"listen": { "public": ":80" }'),
    says: [/^the key "listen" is here twice$/]
  },
  'a bracket never closed': { text: '{ "routes": [ { "id": "a" «}', says: [/^a closing \] is missing$/] },
  'a string never closed': {
    text: '{\n  "listen": { "public": «"0.0.0.0 }\n}',
    says: [/^this string is not closed$/]
  },
  'single quotes': { text: "{ «'listen': {} }", says: [/^(this is neither|a key in double quotes)/] },
  'an empty file': { text: '«', says: [/^the file is empty$/] },
  'a key that reaches for the prototype': {
    text: withKeys('«"__proto__": { "routes": [] }'),
    says: [/^the key "__proto__" is not allowed$/]
  },
  'a file that is a list': { text: '«[]', says: [/^the config must be an object, not a list$/] },
  // 7. References.
  'a variable that is not set': {
    text: withKeys(`"auth": { "issuer": "https://«\${HOST_NAME}/" }`),
    says: [
      /^the environment variable HOST_NAME is not set; set it, or give a default: \$\{HOST_NAME:-default\}$/
    ]
  },
  'a reference in a key': {
    text: withKeys('"services": { «"${NAME}": { "nodes": ["http://a"] } }'),
    says: [/^references are replaced in values, not in keys$/]
  },
  'a file that does not exist': {
    text: withKeys(`"auth": { "issuer": "«\${file:nowhere.txt}" }`),
    says: [/^the file nowhere\.txt does not exist$/]
  },
  'a folder where a file belongs': {
    text: withKeys(`"auth": { "issuer": "«\${file:.}" }`),
    says: [/^\. is not a file$/]
  },
  'a reference of no known form': {
    text: withKeys(`"auth": { "issuer": "«\${no such thing}" }`),
    says: [/^this reference is none of/]
  },
  // 8. YAML.
  'YAML: a misspelt key': {
    path: 'gateway.config.yaml',
    text: 'services:\n  orders:\n    nodes: [http://127.0.0.1:4001]\nroutes:\n  - id: orders\n    path: /orders\n    service: orders\n    «auht: required\n',
    says: [/^unknown key "auht" in routes\[0\]$/],
    means: ['auth']
  },
  'YAML: a key that is there twice': {
    path: 'gateway.config.yml',
    text: 'listen: {}\nstore: {}\n«listen: {}\n',
    says: [/^the key "listen" is here twice$/]
  },
  'YAML: a number in quotes': {
    path: 'gateway.config.yaml',
    text: 'services: { orders: { nodes: [http://a] } }\nroutes:\n  - { id: a, path: /a, service: orders, limit: { qps: «"5" } }\n',
    says: [/must be a number, not the string "5"; write it without quotes$/]
  },
  'YAML: a tab': {
    path: 'gateway.config.yaml',
    text: 'listen:\n«\tpublic: x\n',
    says: [/^YAML is indented with spaces, not tabs$/]
  },
  'YAML: an alias without an anchor': {
    path: 'gateway.config.yaml',
    text: 'listen: «*nothing\n',
    says: [/^this alias names no anchor$/]
  },
  'YAML: two documents': {
    path: 'gateway.config.yaml',
    text: 'listen: {}\n«---\nstore: {}\n',
    says: [/^a config is one document/]
  },
  'YAML: a tag': {
    path: 'gateway.config.yaml',
    text: 'listen: «!!js/function "x"\n',
    says: [/^tags are not allowed in a config$/]
  },
  'YAML: nothing but a comment': {
    path: 'gateway.config.yaml',
    text: '«# to be written\n',
    says: [/^the file is empty$/]
  },
  'YAML: a mistake within an anchor': {
    path: 'gateway.config.yaml',
    text: 'services:\n  a: &a\n    nodes: [http://a]\n    «nod: 1\nroutes: []\n',
    says: [/^unknown key "nod" in services\.a$/],
    means: ['nodes']
  }
}

t.test('refuses a broken config at the exact place', async (t) => {
  for (const [name, { text: withMarks, says, means = [], path = 'gateway.config.json' }] of Object.entries(
    cases
  )) {
    const { text, places } = marked(withMarks)
    const { mistakes } = await refusal(text, { path })
    t.same(mistakes.map(placeOf), places, `${name}: where`)
    for (const [index, sentence] of says.entries())
      t.match(mistakes[index]?.sentence, sentence, `${name}: what`)
    t.same(
      mistakes.map(({ suggestion }) => suggestion),
      says.map((_, index) => means[index]),
      `${name}: what was meant`
    )
  }
})

t.test('points inside the file, whatever is wrong with it', async (t) => {
  for (const [name, { text: withMarks, path = 'gateway.config.json' }] of Object.entries(cases)) {
    const { text } = marked(withMarks)
    // 1. The broken texts, and every one of them cut short at a third and two thirds.
    for (const end of [text.length, Math.floor(text.length / 3), Math.floor((2 * text.length) / 3)]) {
      const cut = text.slice(0, end)
      const lines = cut.split('\n')
      const { mistakes } = await refusal(cut, { path }).catch(() => ({ mistakes: [] }))
      for (const { line, column, length, sentence } of mistakes) {
        const width = lines[line - 1]?.length ?? -1
        const isInside = column >= 1 && column - 1 + length <= Math.max(1, width)
        if (!isInside) t.fail(`${name}: ${line}:${column}+${length} ${sentence}`, { cut })
      }
    }
  }
  t.pass('every place is in its file')
})

t.test('renders a mistake as place, sentence, frame and what was meant', async (t) => {
  const { text } = marked(cases['auth misspelt on a route']!.text)
  const { mistakes, text: shown, message } = await refusal(text)
  t.equal(
    renderMistake(mistakes[0]!, { text: shown }),
    [
      'gateway.config.json:4:65  error unknown key "auht" in routes[0]',
      '  3 |   "routes": [',
      '  4 |     { "id": "orders", "path": "/orders/*", "service": "orders", "auht": "required" }',
      `    | ${' '.repeat(64)}^^^^^^`,
      '  did you mean "auth"?'
    ].join('\n')
  )
  t.equal(message, 'gateway.config.json:4:65 unknown key "auht" in routes[0]')
  const coloured = renderMistake(mistakes[0]!, { text: shown, colour: true })
  t.ok(coloured.includes('\u001b[31merror\u001b[0m'))
})

t.test('keeps the frame of a long line short, with the caret under the place', async (t) => {
  const keys = Array.from(
    { length: 40 },
    (_, index) => `"svc${index}": { "nodes": ["http://127.0.0.1:${4000 + index}"] }`
  )
  const { mistakes, text } = await refusal(`{ "services": { ${keys.join(', ')} }, "lisen": {} }`)
  const rows = renderMistake(mistakes[0]!, { text }).split('\n')
  const [, line, caret] = rows
  t.ok(rows.every((row) => row.length < 140))
  t.equal(line!.slice(caret!.indexOf('^'), caret!.lastIndexOf('^') + 1), '"lisen"')
})

t.test('tells every mistake at once, in the order of the file', async (t) => {
  const { text, places } = marked(`{
  «"lisen": {},
  "services": {
    "orders": { "nodes": ["http://127.0.0.1:4001", «"http://127.0.0.1:4001"], «"retyr": {} },
    «"Orders": { "nodes": ["http://127.0.0.1:4002"] }
  },
  "routes": [
    { "id": "a", "path": «"a", "service": "orders", «"auht": "required" },
    { "id": «"a", "path": "/a", "service": «"ordres", "limit": { "qps": «"1" } },
    { "id": "b", "path": "/b", "service": "orders", "auth": { «"sesion": "strict" } }
  ],
  "auth": { "issuer": "«\${ISSUER}", "access": «"1 hour" }
}`)
  const { mistakes, message } = await refusal(text)
  t.same(mistakes.map(placeOf), places)
  t.ok(message.endsWith(`(and ${places.length - 1} more)`))
})

t.test('never opens a route by a misspelt auth', async (t) => {
  const slips = [
    'auht',
    'Auth',
    'AUTH',
    'auths',
    'atuh',
    'aut',
    'authh',
    'auth ',
    ' auth',
    'authentication',
    'a\\u200buth'
  ]
  for (const key of slips) {
    const { mistakes } = await refusal(route(`"${key}": "required"`))
    t.match(mistakes[0]?.sentence, /^unknown key/, JSON.stringify(key))
  }
  for (const key of ['sesion', 'Session', 'sessions', 'Mode']) {
    const { mistakes } = await refusal(route(`"auth": { "${key}": "strict" }`))
    t.match(mistakes[0]?.sentence, /^unknown key/, `auth.${key}`)
  }
  for (const value of ['"Required"', '"require"', '""', 'null', 'true', '[]', '["required"]', '1']) {
    const { mistakes } = await refusal(route(`"auth": ${value}`))
    t.match(mistakes[0]?.sentence, /^routes\[0\]\.auth must be/, `auth: ${value}`)
  }
})
