import t from 'tap'
import { readDocument } from '../support/console.ts'
import { lintDockerfile } from './dockerfile.ts'

const dockerfile = readDocument('Dockerfile')

t.test('the Dockerfile keeps the rules', async (t) => {
  t.same(lintDockerfile(dockerfile), [])
})

t.test('the rules find what they are for', async (t) => {
  const broken: [from: string | RegExp, to: string, mistake: RegExp][] = [
    ['distroless/nodejs24-debian12:nonroot', 'distroless/nodejs24-debian12', /has no fixed tag/],
    [':24-bookworm-slim AS build', ':latest AS build', /node:latest has no fixed tag/],
    ['USER nonroot', 'USER root', /runs as root/],
    ['USER nonroot', '', /runs as root/],
    [/ENTRYPOINT .*/, 'ENTRYPOINT node build/bin/toll.js', /ENTRYPOINT uses a shell/],
    ['RUN ["npm", "run", "build"]', 'RUN npm run build', /RUN uses a shell/],
    [/CMD \["\/nodejs.*/, 'CMD curl -f http://127.0.0.1:8082/livez', /HEALTHCHECK uses a shell/],
    [/HEALTHCHECK .*\n.*/, '', /no HEALTHCHECK/],
    ['EXPOSE 8080 8082', '', /no EXPOSE/],
    [/COPY --chown=root:root package.json .*/, 'COPY package.json ./', /COPY without --chown/],
    [/COPY --chown=root:root package.json .*/, 'COPY --chown=root:root . .', /whole context/],
    ['COPY . .', 'ADD . .', /ADD, where COPY does/],
    ['"npm", "ci", "--omit=dev"', '"npm", "install", "--omit=dev"', /ignores the lock file/],
    ['NODE_ENV=production', 'TOLL_ADMIN_TOKEN=x', /a secret in the image/],
    [/FROM[\s\S]*(?=FROM gcr)/, '', /one stage/]
  ]
  for (const [from, to, mistake] of broken) {
    const text = dockerfile.replace(from, to)
    t.not(text, dockerfile, `${from} is in the Dockerfile`)
    t.match(lintDockerfile(text).join('\n'), mistake)
  }
})

t.test('the build context holds no state and no secrets', async (t) => {
  const rules = readDocument('.dockerignore').split('\n')
  t.ok(rules.includes('*'), 'everything is left out that is not named')
  const named = rules.filter((rule) => rule.startsWith('!'))
  t.notOk(named.some((rule) => /toll|env|deploy|users|gateway\.config/.test(rule)))
  t.ok(rules.includes('**/.env') && rules.includes('**/.toll'))
})
