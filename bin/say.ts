/** What a command answers on stdout: for programs with `--json`, else for people. */
export function say(json: boolean | undefined, answer: unknown, sentence: string): void {
  process.stdout.write(`${json === true ? JSON.stringify(answer) : sentence}\n`)
}

/** What the gateway answers where something was ended or revoked: `propagated` is false while it could not tell the others. */
export interface Told {
  readonly propagated?: boolean
}

/** The same for an answer that may be about one gateway only: then it says so, and the exit code is 3. */
export function sayTold<Answer extends Told>(
  json: boolean | undefined,
  answer: Answer,
  sentence: string
): void {
  const isTold = answer.propagated !== false
  say(
    json,
    answer,
    isTold
      ? sentence
      : `${sentence}\nThe store does not answer: it holds at this gateway; the others are told when it does.`
  )
  if (!isTold) process.exitCode = 3
}
