/**
 * The same text in one piece. What JavaScript puts together stays a tree of its parts, and is walked through the memory of all of them each
 * time it is written: what is kept, to be written again and again, is worth a copy.
 */
export const flat = (text: string): string => Buffer.from(text).toString()
