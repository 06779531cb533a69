/** One instruction of a Dockerfile, its continued lines joined. */
export interface Instruction {
  readonly line: number
  readonly name: string
  readonly value: string
}

export function readDockerfile(text: string): Instruction[] {
  const instructions: Instruction[] = []
  let open: { line: number; text: string } | undefined
  for (const [index, raw] of text.split('\n').entries()) {
    if (/^\s*(#|$)/.test(raw)) continue
    const continues = /\\\s*$/.test(raw)
    const line = raw.replace(/\\\s*$/, '').trim()
    open = open === undefined ? { line: index + 1, text: line } : { ...open, text: `${open.text} ${line}` }
    if (continues) continue
    const [, name = '', value = ''] = /^(\S+)\s*(.*)$/.exec(open.text) ?? []
    instructions.push({ line: open.line, name: name.toUpperCase(), value })
    open = undefined
  }
  return instructions
}

/** What is wrong with a Dockerfile by the rules of this repository, one sentence each. */
export function lintDockerfile(text: string): string[] {
  const all = readDockerfile(text)
  const from = all.filter(({ name }) => name === 'FROM')
  const last = all.slice(all.lastIndexOf(from.at(-1)!))
  const names = from.flatMap(({ value }) => / as (\S+)$/i.exec(value)?.[1] ?? [])
  const mistakes: string[] = []
  const refuse = (isWrong: boolean, sentence: string): void => {
    if (isWrong) mistakes.push(sentence)
  }

  refuse(from.length < 2, 'it has one stage: compilers and sources would be shipped')
  for (const { line, value } of from) {
    const [image = ''] = value.split(' ')
    if (names.includes(image)) continue
    refuse(!/:[^/]+$/.test(image) || image.endsWith(':latest'), `${line}: ${image} has no fixed tag`)
  }
  for (const { line, name, value } of all) {
    if (['RUN', 'CMD', 'ENTRYPOINT'].includes(name)) refuse(!isList(value), `${line}: ${name} uses a shell`)
    if (name === 'HEALTHCHECK')
      refuse(!isList(value.replace(/^.*?CMD\s+/, '')), `${line}: HEALTHCHECK uses a shell`)
    refuse(name === 'ADD', `${line}: ADD, where COPY does`)
    refuse(name === 'RUN' && /"npm", "install"/.test(value), `${line}: npm install ignores the lock file`)
    refuse(
      (name === 'ENV' || name === 'ARG') && /(password|secret|token|key)\w*[= ]/i.test(value),
      `${line}: a secret in the image`
    )
  }
  for (const { line, value } of last.filter(({ name }) => name === 'COPY')) {
    refuse(!value.includes('--chown='), `${line}: COPY without --chown`)
    refuse(/(^|\s)\.\s+\S+$/.test(value), `${line}: COPY of the whole context into the image`)
  }
  const has = (name: string): Instruction | undefined => last.find((instruction) => instruction.name === name)
  refuse(!/^(nonroot|[1-9]\d*)(:|$)/.test(has('USER')?.value ?? ''), 'it runs as root')
  for (const name of ['EXPOSE', 'HEALTHCHECK', 'ENTRYPOINT', 'WORKDIR'])
    refuse(has(name) === undefined, `the last stage has no ${name}`)
  return mistakes
}

/** What the last stage copies in from the context or an earlier stage: [source, target] pairs. */
export function shippedFiles(text: string): [string, string][] {
  const all = readDockerfile(text)
  const last = all.slice(all.findLastIndex(({ name }) => name === 'FROM'))
  return last
    .filter(({ name }) => name === 'COPY')
    .flatMap(({ value }) => {
      const words = value.split(' ').filter((word) => !word.startsWith('--'))
      const target = words.pop()!
      return words.map((source): [string, string] => [source, target])
    })
}

function isList(value: string): boolean {
  try {
    return Array.isArray(JSON.parse(value))
  } catch {
    return false
  }
}
