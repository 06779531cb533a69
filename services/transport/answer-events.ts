/** What a parser reports of one answer, in this order; a broken answer throws out of `execute` or `finish` instead. */
export interface AnswerEvents {
  /**
   * An answer that came in one piece, and everything there is of it: the next event belongs to the next answer. `body` is latin1, one character a
   * byte. There are no trailers.
   */
  onWhole(status: number, reason: string, headers: string[], body: string): void
  /** `headers` is flat: name, value, name, value, as sent. What they mean is in the parser's `head`. */
  onHead(status: number, reason: string, headers: string[]): void
  /** The receiver may keep the chunk. */
  onBody(chunk: Buffer): void
  /** Exactly at the framed end; `trailers` is flat. */
  onEnd(trailers: string[]): void
  /** The upgrade that was asked for. `rest` came behind the head; nothing further is read. */
  onSwitch?(reason: string, headers: string[], rest: Buffer): void
}
