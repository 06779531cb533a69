import { middle, type Result } from './report.ts'

const width = 860
const left = 130
const right = 90
const bar = 18
const gap = 6
const heading = 34

/** CPU per request of every candidate, scenario by scenario, as one SVG: shorter is better. */
export function plot(results: readonly Result[], caption: string): string {
  let top = 40
  const parts: string[] = []
  for (const { scenario, samples } of results) {
    parts.push(text(10, top + 18, `${scenario.id}  ${scenario.title}`, 'title'))
    top += heading
    const rows = [...samples].map(([name, of]) => ({ name, cpu: middle(of).cpu }))
    const longest = Math.max(...rows.map(({ cpu }) => cpu))
    for (const { name, cpu } of rows) {
      const length = Math.max(1, (cpu / longest) * (width - left - right))
      const kind = name === 'Tollkeeper' ? 'ours' : 'theirs'
      parts.push(text(left - 8, top + 13, name, 'name'))
      parts.push(
        `<rect class="${kind}" x="${left}" y="${top}" width="${length.toFixed(1)}" height="${bar}" rx="2"/>`
      )
      parts.push(text(left + length + 6, top + 13, cpu.toFixed(1), 'value'))
      top += bar + gap
    }
    top += 12
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${top + 8}" role="img" aria-label="${escaped(caption)}">
<style>
  svg { background: #fff; font: 13px system-ui, sans-serif } text { fill: #222 }
  .title { font-weight: 600 } .name { text-anchor: end } .value { fill: #555 } .caption { fill: #555 }
  .ours { fill: #1f6f54 } .theirs { fill: #b9c4cf }
</style>
${text(10, 22, caption, 'caption')}
${parts.join('\n')}
</svg>
`
}

const text = (x: number, y: number, content: string, kind: string): string =>
  `<text class="${kind}" x="${x.toFixed(1)}" y="${y}">${escaped(content)}</text>`

const escaped = (content: string): string =>
  content.replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign]!)
