/** What became of the lines of one sink since the process began, whichever configs it served. */
export class SinkFigures {
  /** Taken by the sink. */
  sent = 0
  /** Never handed over: the queue was full, or the gateway left. */
  dropped = 0
  /** Handed over and refused for good. */
  failed = 0
  /** Lines of requests that `sample` left out. */
  sampled = 0
}

/** The figures of all sinks by their names: the same before and after a reload. */
export type FigureBook = Map<string, SinkFigures>

/** The figures of a sink; new ones where it has none yet. */
export function figuresOf(book: FigureBook, name: string): SinkFigures {
  const figures = book.get(name) ?? new SinkFigures()
  book.set(name, figures)
  return figures
}
