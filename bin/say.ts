/** What a command answers on stdout: for programs with `--json`, else for people. */
export function say(json: boolean | undefined, answer: unknown, sentence: string): void {
  process.stdout.write(`${json === true ? JSON.stringify(answer) : sentence}\n`)
}
