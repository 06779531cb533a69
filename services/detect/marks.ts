/** Names that scanners give themselves; none of them is a word of an ordinary browser's or library's name. */
const tools =
  /nikto|sqlmap|\bnmap\b|masscan|zgrab|\bzmap\b|gobuster|\bffuf\b|fuzz faster|wpscan|nuclei|dirbuster|feroxbuster|dirsearch|wfuzz|\bhydra\b|acunetix|nessus|openvas|\bw3af\b|whatweb|arachni|jaeles|netsparker|invicti|zmeu|morfeus|\bhavij|commix|xsser|joomscan|droopescan|cmseek|skipfish|\bparos\b|webinspect|appscan|l9explore|l9tcpid|leakix|censysinspect|internetmeasurement|mozi\b|muhstik|sqlninja|bsqlbf|absinthe|grendel-scan|dotdotpwn|fimap|uniscan|vega\/|burpcollaborator|\binteractsh\b|httpx - open-source|katana\/|naabu|projectdiscovery|expanse, a palo alto/i

/** Beginnings of an attempt to have a log or a template run something. */
const injected = /\$\{(?:jndi|lower|upper|env|::-)|\(\)\s*\{\s*:;|<\?php|\{\{\s*\d+\s*\*\s*\d+\s*\}\}/i

/** Paths that are nobody's to ask for: secrets, backups and holes of well-known software. */
const always =
  /\/\.(?:env|git|svn|hg|bzr|aws|ssh|docker|kube|npmrc|htpasswd|htaccess|ds_store|vscode|idea|bash_history|config\/gcloud)(?:$|[/.])|\/(?:etc\/(?:passwd|shadow)|proc\/self|boot\.ini|win\.ini|web\.config|wp-config\.(?:php|bak|old|txt)|id_rsa|server-status|phpinfo\.php|eval-stdin\.php|shell\.php|cmd\.php|c99\.php|r57\.php|alfa\.php|adminer\.php|_ignition\/execute-solution|cgi-bin\/(?:\.|luci|test-cgi|php|bash|sh\b|status)|boaform|hnap1|goform|gponform|setup\.cgi|actuator\/(?:env|heapdump|gateway)|solr\/admin|jmx-console|invoker\/jmx|manager\/html|geoserver\/web|owa\/auth\/x\.js|autodiscover\/autodiscover\.json|remote\/fgt_lang|dana-na|vpns\/|\+cscoe\+|portal\/redlion|telescope\/requests|debug\/default\/view|_profiler\/phpinfo|console\/login\/loginform\.jsp|wls-wsat|struts2?-showcase|axis2-admin|druid\/index\.html|nacos\/v1|v2\/_catalog|containers\/json|latest\/meta-data|aws\/credentials|credentials\.json|docker-compose\.ya?ml|(?:backup|dump|database|db|site|www|wwwroot|htdocs)\.(?:sql|zip|tar|tar\.gz|tgz|rar|7z|bak))(?:$|[/?;])/i

/** Paths of software that may well be there: a probe only where it is not. */
const whereMissing =
  /\/(?:wp-(?:login\.php|admin|includes|content|json)|xmlrpc\.php|phpmyadmin|pma|myadmin|mysqladmin|administrator|admin\.php|login\.action|drupal|joomla|magento|typo3|cpanel|webmail|jenkins|hudson|grafana|kibana|zabbix|nagios|solr|tomcat|webdav|cgi-bin|phpunit|vendor\/(?:phpunit|composer|autoload)|laravel|symfony|rails\/info|elmah\.axd|trace\.axd|server-info|status\.php|test\.php|info\.php|upload\.php|uploadify|filemanager|fckeditor|ckfinder|actuator|swagger-ui\.html|api-docs|graphiql|\.well-known\/security\.php)(?:$|[/.?;])|\.(?:bak|old|orig|save|swp|sql|ini|inc|asp|aspx|jsp|jspx|cfm|cgi|php[3-7]?|phtml|pl)(?:$|~)/i

/** Cheap to look for: without any of these there is no attempt in a path or a query. */
const hints = /[%'"<>();|`$\\]|\.\.|:\/\/|\b(?:union|select|sleep|etc)\b/i

const attempts =
  /\bunion\b.{1,40}\bselect\b|\bselect\b.{1,80}\bfrom\b.{1,40}(?:information_schema|mysql\.|sys\.|pg_)|['"]\s*(?:or|and)\s*['"(\d]|\b(?:or|and)\s+\d+\s*=\s*\d+|;\s*(?:drop|delete|insert|update|shutdown|exec)\b|\b(?:sleep|benchmark|pg_sleep|extractvalue|updatexml|load_file)\s*\(|waitfor\s+delay|xp_cmdshell|information_schema|<script[\s>/]|javascript:\s*[a-z]+\s*\(|\bon(?:error|load|mouseover|focus)\s*=|<(?:svg|img|iframe|body)[^>]{0,100}\s(?:on|src\s*=\s*x)|(?:\.\.[\\/]){2}|\.\.%2f|\/etc\/(?:passwd|shadow|hosts)|\bwin\.ini|\bboot\.ini|(?:php|expect|phar|zip|data|file|gopher|dict|ldap):\/\/(?:\/|input|filter|id|127)|\$\{(?:jndi|lower|env|T\()|\{\{.{0,20}[\d*'"].{0,20}\}\}|[;|&`]\s*(?:cat|id|whoami|wget|curl|uname|ping|nc|bash|sh|powershell|cmd)\b|\$\((?:id|whoami|curl|wget|cat)|%0d%0a|[\r\n]|\bcmd(?:\.exe)?\s*\/c|169\.254\.169\.254|\0/i

export type PathMark = 'always' | 'where missing'

/** Whether a user agent, or another header that is written to logs, gives its sender away. */
export const isTool = (agent: string): boolean => tools.test(agent)

export const isInjected = (value: string): boolean => injected.test(value)

/** What a path without its query says of whoever asks for it. */
export function markOf(path: string): PathMark | undefined {
  if (always.test(path)) return 'always'
  return whereMissing.test(path) ? 'where missing' : undefined
}

/** Whether a path or a query, as it was sent, is an attempt on the service. */
export function isAttempt(sent: string): boolean {
  if (!hints.test(sent)) return false
  // Whatever comes behind that was refused for its length, or will be by whoever reads it.
  const beginning = sent.slice(0, 4096)
  return attempts.test(beginning) || attempts.test(decoded(beginning))
}

/** With its escapes undone, twice: what is hidden once more is an attempt as well. What is no escape stays. */
function decoded(sent: string): string {
  let text = sent.replaceAll('+', ' ')
  for (let round = 0; round < 2; round += 1) {
    const next = text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16))
    )
    if (next === text) break
    text = next
  }
  return text
}
