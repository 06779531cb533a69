import type { Capture, Sent } from './replay.ts'

type Headers = Capture['headers']

const chromium = (agent: string, brands: string, platform: string, mobile = '?0'): Headers => [
  ['sec-ch-ua', brands],
  ['sec-ch-ua-mobile', mobile],
  ['sec-ch-ua-platform', `"${platform}"`],
  ['Upgrade-Insecure-Requests', '1'],
  ['User-Agent', agent],
  [
    'Accept',
    'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8'
  ],
  ['Sec-Fetch-Site', 'none'],
  ['Sec-Fetch-Mode', 'navigate'],
  ['Sec-Fetch-User', '?1'],
  ['Sec-Fetch-Dest', 'document'],
  ['Accept-Encoding', 'gzip, deflate, br, zstd'],
  ['Accept-Language', 'en-GB,en;q=0.9,de;q=0.8']
]

const gecko = (agent: string): Headers => [
  ['User-Agent', agent],
  ['Accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'],
  ['Accept-Language', 'de,en-US;q=0.7,en;q=0.3'],
  ['Accept-Encoding', 'gzip, deflate, br, zstd'],
  ['DNT', '1'],
  ['Upgrade-Insecure-Requests', '1'],
  ['Sec-Fetch-Dest', 'document'],
  ['Sec-Fetch-Mode', 'navigate'],
  ['Sec-Fetch-Site', 'none'],
  ['Priority', 'u=0, i']
]

const webkit = (agent: string): Headers => [
  ['Accept', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'],
  ['Sec-Fetch-Site', 'none'],
  ['Sec-Fetch-Mode', 'navigate'],
  ['User-Agent', agent],
  ['Accept-Language', 'fr-FR,fr;q=0.9'],
  ['Sec-Fetch-Dest', 'document'],
  ['Accept-Encoding', 'gzip, deflate, br']
]

const win = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64)'
const mac = 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)'
const linux = 'Mozilla/5.0 (X11; Linux x86_64)'
const blink = 'AppleWebKit/537.36 (KHTML, like Gecko)'
const brands = '"Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"'

/** A page with what belongs to it: style, script, pictures, the icon that is not there. */
const page: readonly string[] = [
  '/ok/',
  '/ok/assets/app.css',
  '/ok/assets/app.js',
  '/ok/images/logo.png?v=12',
  '/favicon.ico',
  '/apple-touch-icon.png',
  '/apple-touch-icon-precomposed.png',
  '/ok/manifest.webmanifest',
  '/robots.txt'
]

const many = (count: number, make: (index: number) => Sent | string): (Sent | string)[] =>
  Array.from({ length: count }, (_, index) => make(index))

const bearer = ['Authorization', 'Bearer ended'] as const
const json = ['Content-Type', 'application/json'] as const

const failed: Sent = { path: '/denied/login', body: '{"user":"ann","password":"wrong"}', headers: [json] }

/** What browsers and well-meant programs send, good days and bad ones. */
export const browsers: readonly Capture[] = [
  {
    name: 'Chrome on Windows reads a page',
    headers: chromium(`${win} ${blink} Chrome/130.0.0.0 Safari/537.36`, brands, 'Windows'),
    requests: page
  },
  {
    name: 'Chrome on macOS searches',
    headers: chromium(`${mac} ${blink} Chrome/130.0.0.0 Safari/537.36`, brands, 'macOS'),
    requests: [
      ...page,
      '/ok/search?q=select+a+gift+from+the+union+shop',
      "/ok/search?q=rock+'n'+roll",
      '/ok/search?q=50%25+off+%26+more'
    ]
  },
  {
    name: 'Chrome on Linux fails to sign in thrice',
    headers: chromium(`${linux} ${blink} Chrome/130.0.0.0 Safari/537.36`, brands, 'Linux'),
    requests: [...page, failed, failed, failed]
  },
  {
    name: 'Chrome on Android',
    headers: chromium(
      'Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile Safari/537.36',
      brands,
      'Android',
      '?1'
    ),
    requests: page
  },
  {
    name: 'Edge on Windows',
    headers: chromium(
      `${win} ${blink} Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0`,
      '"Chromium";v="130", "Microsoft Edge";v="130"',
      'Windows'
    ),
    requests: page
  },
  {
    name: 'Opera on Windows',
    headers: chromium(
      `${win} ${blink} Chrome/128.0.0.0 Safari/537.36 OPR/114.0.0.0`,
      '"Chromium";v="128", "Opera";v="114"',
      'Windows'
    ),
    requests: page
  },
  {
    name: 'Brave',
    headers: chromium(
      `${linux} ${blink} Chrome/130.0.0.0 Safari/537.36`,
      '"Brave";v="130", "Chromium";v="130"',
      'Linux'
    ),
    requests: page
  },
  {
    name: 'Vivaldi',
    headers: chromium(
      `${win} ${blink} Chrome/128.0.0.0 Safari/537.36 Vivaldi/6.9`,
      '"Chromium";v="128"',
      'Windows'
    ),
    requests: page
  },
  {
    name: 'Samsung Internet',
    headers: chromium(
      'Mozilla/5.0 (Linux; Android 13; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/26.0 Chrome/122.0.0.0 Mobile Safari/537.36',
      '"Samsung Internet";v="26"',
      'Android',
      '?1'
    ),
    requests: page
  },
  {
    name: 'a WebView on Android',
    headers: chromium(
      'Mozilla/5.0 (Linux; Android 13; SM-A536B; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/129.0.0.0 Mobile Safari/537.36',
      '"Android WebView";v="129"',
      'Android',
      '?1'
    ),
    requests: page
  },
  {
    name: 'Firefox on Windows',
    headers: gecko('Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0'),
    requests: page
  },
  {
    name: 'Firefox on Linux, links that are broken',
    headers: gecko('Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0'),
    requests: [...page, ...many(25, (index) => `/gone/chapter-${index}.html`)]
  },
  {
    name: 'Firefox on Android',
    headers: gecko('Mozilla/5.0 (Android 14; Mobile; rv:132.0) Gecko/132.0 Firefox/132.0'),
    requests: page
  },
  {
    name: 'Firefox ESR',
    headers: gecko('Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0'),
    requests: page
  },
  {
    name: 'Tor Browser',
    headers: gecko('Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Firefox/128.0'),
    requests: page
  },
  {
    name: 'Safari on macOS',
    headers: webkit(`${mac} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15`),
    requests: page
  },
  {
    name: 'Safari on an iPhone',
    headers: webkit(
      'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1'
    ),
    requests: page
  },
  {
    name: 'Safari on an iPad',
    headers: webkit(
      'Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1'
    ),
    requests: page
  },
  {
    name: 'an app’s view on iOS',
    headers: webkit(
      'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148'
    ),
    requests: page
  },
  {
    name: 'Chrome on an iPhone',
    headers: webkit(
      'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/130.0.6723.90 Mobile/15E148 Safari/604.1'
    ),
    requests: page
  },
  {
    name: 'an installed app whose token has ended, all night',
    headers: chromium(`${win} ${blink} Chrome/130.0.0.0 Safari/537.36`, brands, 'Windows'),
    requests: many(120, () => ({ path: '/denied/api/feed', headers: [bearer] }))
  },
  {
    name: 'a single-page app that asks for chunks that are gone',
    headers: chromium(`${mac} ${blink} Chrome/130.0.0.0 Safari/537.36`, brands, 'macOS'),
    requests: [
      ...page,
      ...many(60, (index) => `/gone/chunk-${index}.3f9a.js`),
      ...many(60, () => '/gone/main.js')
    ]
  },
  {
    name: 'a single-page app that posts without a session',
    headers: gecko('Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0'),
    requests: many(15, () => ({ path: '/denied/api/track', body: '{}', headers: [json] }))
  },
  {
    name: 'thirty people behind one address',
    headers: gecko('Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0'),
    requests: [
      ...many(30, () => '/ok/'),
      ...many(30, () => '/favicon.ico'),
      ...many(60, () => ({ path: '/denied/api/me', headers: [bearer] })),
      failed,
      failed,
      failed,
      failed,
      failed
    ]
  },
  {
    name: 'an editor that saves much',
    headers: chromium(`${linux} ${blink} Chrome/130.0.0.0 Safari/537.36`, brands, 'Linux'),
    requests: many(60, (index) => ({
      method: 'PUT',
      path: `/ok/documents/${index}`,
      body: '{"text":"SELECT the best from the list; drop the rest"}',
      headers: [json]
    }))
  },
  {
    name: 'a form with an address in it',
    headers: webkit(`${mac} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15`),
    requests: [
      '/ok/share?url=https%3A%2F%2Fshop.example%2Fitems%3Fid%3D7%26x%3D1',
      '/ok/back?to=https://shop.example/cart',
      '/ok/items?filter=price(10,20)|color(red)'
    ]
  },
  {
    name: 'a feed reader',
    headers: [
      ['User-Agent', 'NetNewsWire (RSS Reader; https://netnewswire.com/)'],
      ['Accept', '*/*']
    ],
    requests: ['/ok/feed.xml', '/gone/old.xml', '/robots.txt']
  },
  {
    name: 'a search engine',
    headers: [
      ['User-Agent', 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'],
      ['Accept', '*/*']
    ],
    requests: [
      '/robots.txt',
      '/sitemap.xml',
      ...many(40, (index) => `/gone/article-${index}`),
      ...many(40, (index) => `/ok/article-${index}`)
    ]
  },
  {
    name: 'a person with curl',
    headers: [
      ['User-Agent', 'curl/8.10.1'],
      ['Accept', '*/*']
    ],
    requests: [
      '/ok/health',
      '/ok/items',
      { method: 'OPTIONS', path: '/ok/items' },
      { method: 'DELETE', path: '/denied/items/7' }
    ]
  },
  {
    name: 'a page of somebody who has signed out, at routes of the gateway',
    headers: gecko('Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0'),
    requests: many(60, () => '/private/feed')
  },
  { name: 'a monitor without a name', headers: [], requests: many(60, () => '/ok/health') }
]
