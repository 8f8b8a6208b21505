"""A plot of bars as SVG, by hand: a panel for each workload, a bar for each peer."""

WIDTH, LABELS, FIGURES = 460, 120, 60
BAR, GAP, TITLE, MARGIN, LEGEND = 14, 5, 26, 14, 30
PANELS_A_ROW = 2

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.checks { fill: #57606a }
.plain { fill: #afb8c1 }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .checks { fill: #9198a1 }
  .plain { fill: #4c545d }
  .ours { fill: #4493f8 }
}
"""


def bars(figures, order):
    """`figures` is CPU time by workload and peer; each panel has a scale of its own."""
    panels = [panel(name, [(peer, by_peer[peer]) for peer in order if peer in by_peer]) for name, by_peer in figures.items()]
    parts, top = legend(), MARGIN + LEGEND
    for at in range(0, len(panels), PANELS_A_ROW):
        row = panels[at:at + PANELS_A_ROW]
        for number, (body, _) in enumerate(row):
            parts.append(f'<g transform="translate({MARGIN + number * (WIDTH + MARGIN)},{top})">{body}</g>')
        top += max(height for _, height in row) + MARGIN
    width = MARGIN + PANELS_A_ROW * (WIDTH + MARGIN)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}" role="img">\n'
            f"<title>CPU time per request in µs, by workload and peer; smaller is better</title>\n<style>{STYLE}</style>\n"
            + "\n".join(parts) + "\n</svg>\n")


def legend():
    """What the colours mean."""
    words = [("ours", "Sidegate"), ("checks", "checks tokens as well"), ("plain", "checks nothing")]
    parts = []
    for number, (kind, word) in enumerate(words):
        left = MARGIN + number * 170
        parts.append(f'<rect class="{kind}" x="{left}" y="{MARGIN}" width="{BAR}" height="{BAR}" rx="2"/>'
                     f'<text x="{left + BAR + 6}" y="{MARGIN + BAR - 3}">{word}</text>')
    return parts


def kind_of(peer):
    return "ours" if peer == "sidegate" else "checks" if "jwt" in peer else "plain"


def panel(name, values):
    """A panel and its height."""
    longest = max((value for _, value in values), default=1)
    parts = [f'<text class="title" x="0" y="14">{name}, CPU µs/request</text>']
    for number, (peer, value) in enumerate(values):
        parts += bar(peer, value, value / longest * (WIDTH - LABELS - FIGURES), TITLE + number * (BAR + GAP))
    return "\n".join(parts), TITLE + len(values) * (BAR + GAP)


def bar(peer, value, length, top):
    middle = top + BAR - 3
    return [f'<text x="{LABELS - 8}" y="{middle}" text-anchor="end">{peer}</text>',
            f'<rect class="{kind_of(peer)}" x="{LABELS}" y="{top}" width="{max(length, 1):.1f}" height="{BAR}" rx="2"/>',
            f'<text x="{LABELS + length + 6:.1f}" y="{middle}">{value:.1f}</text>']
