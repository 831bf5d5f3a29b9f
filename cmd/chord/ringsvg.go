package main

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"math"
	"slices"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/ring"
)

// Measures of the picture, in its own units (pixels at 100 %).
const (
	svgCenter     = 340.0
	svgRadius     = 240.0
	svgDiameter   = 2 * svgCenter
	svgLegendLine = 26.0
	svgLegendHead = 96.0
	svgLegendWide = 320.0
	svgMaxLabels  = 72 // nodes beyond which their names would overlap
	svgMinGap     = 3  // degrees between two names
)

const svgStyle = `
  svg { font-family: ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; background: #fff; color: #1d2430; }
  text { fill: currentColor; }
  .mono { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
  .quiet { fill: #6b7685; }
  .bad { fill: #c62828; }
  .rail { fill: none; stroke: #e6e9ee; stroke-width: 22; }
  .arc { fill: none; stroke-width: 14; opacity: .55; }
  .dot { stroke: #fff; stroke-width: 2; }
  .dead { fill: #fff; stroke: #c62828; stroke-width: 2; }
  .arc:hover { opacity: 1; stroke-width: 20; }
  @media (prefers-color-scheme: dark) {
    svg { background: #12161c; color: #e8ecf1; }
    .rail { stroke: #232a34; }
    .dot { stroke: #12161c; }
    .dead { fill: #12161c; }
    .quiet { fill: #93a0b1; }
    .bad { fill: #ff7b72; }
  }
`

// svgWriter writes lines; the bufio.Writer keeps the first error until Flush returns it.
type svgWriter struct{ w *bufio.Writer }

func (s svgWriter) line(format string, args ...any) { fmt.Fprintf(s.w, format+"\n", args...) }

// writeRingSVG draws the ring clockwise, identifier 0 on top: each node a dot at its place and the arc that it owns, in the color of
// its process, with a legend. The picture stands alone: no script, no font, no other file.
func writeRingSVG(w io.Writer, p ringPicture) error {
	s := svgWriter{bufio.NewWriter(w)}
	height := max(svgDiameter, svgLegendHead+svgLegendLine*float64(len(p.processes)+1)+40)
	width := svgDiameter + svgLegendWide
	s.line(`<?xml version="1.0" encoding="UTF-8"?>`)
	s.line(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img">`, width, height, width, height)
	s.line(`<title>Chord ring: %s, %s</title>`, plural(int64(len(p.nodes)), "node"), pluralProcesses(len(p.processes)))
	s.line(`<style>%s</style>`, svgStyle)
	s.line(`<circle class="rail" cx="%g" cy="%g" r="%g"/>`, svgCenter, svgCenter, svgRadius)
	for _, n := range p.nodes {
		s.arc(n, p.color(n.Node.Addr))
	}
	for _, n := range p.nodes { // over all arcs, whose ends they cover
		s.dot(n, p.color(n.Node.Addr))
	}
	if len(p.nodes) <= svgMaxLabels {
		s.labels(p.nodes)
	}
	s.middle(p)
	s.legend(p)
	s.line(`</svg>`)
	return s.w.Flush()
}

// arc draws what a node owns.
func (s svgWriter) arc(n ringNode, color string) {
	if n.Err != nil {
		return
	}
	s.line(`<g class="arc" stroke="%s">`, color)
	s.tooltip(n)
	arc := n.View.Arc()
	if arc.IsFull() { // its ends are the same point, which no path can say
		s.line(`<circle cx="%g" cy="%g" r="%g"/>`, svgCenter, svgCenter, svgRadius)
	} else {
		x1, y1 := onCircle(angle(arc.After), svgRadius)
		x2, y2 := onCircle(angle(arc.Through), svgRadius)
		large := 0
		if n.share > 0.5 {
			large = 1
		}
		s.line(`<path d="M%.2f %.2fA%g %g 0 %d 1 %.2f %.2f"/>`, x1, y1, svgRadius, svgRadius, large, x2, y2)
	}
	s.line(`</g>`)
}

// dot draws a node at its place.
func (s svgWriter) dot(n ringNode, color string) {
	class := "dot"
	if n.Err != nil {
		class = "dead"
	}
	x, y := onCircle(angle(n.Node.ID), svgRadius)
	s.line(`<circle class="%s" cx="%.2f" cy="%.2f" r="7" fill="%s">`, class, x, y, color)
	s.tooltip(n)
	s.line(`</circle>`)
}

// tooltip says what is known of a node to who points at it.
func (s svgWriter) tooltip(n ringNode) {
	text := fmt.Sprintf("%v does not answer: %v", n.Node, n.Err)
	if n.Err == nil {
		text = fmt.Sprintf("node %s\nat %s\nowns %.2f%%\npredecessor %v", n.Node.ID, n.Node.Addr, 100*n.share, n.View.Pred)
	}
	s.line(`<title>%s</title>`, html.EscapeString(text))
}

// labels writes the short identifiers round the ring, leaving out those that would overlap their neighbor's.
func (s svgWriter) labels(nodes []ringNode) {
	last := math.Inf(-1)
	for _, n := range nodes {
		at := angle(n.Node.ID)
		if at-last < svgMinGap {
			continue
		}
		last = at
		x, y := onCircle(at, svgRadius+20)
		turn, anchor := at-90, "start"
		if at > 180 {
			turn, anchor = at+90, "end"
		}
		s.line(`<text class="mono" font-size="11" x="%.2f" y="%.2f" dy="4" text-anchor="%s" transform="rotate(%.2f %.2f %.2f)">%s</text>`,
			x, y, anchor, turn, x, y, n.Node.ID.Short())
	}
}

func (s svgWriter) middle(p ringPicture) {
	text := func(dy, size float64, class, content string) {
		s.line(`<text class="%s" x="%g" y="%g" font-size="%g" text-anchor="middle">%s</text>`, class, svgCenter, svgCenter+dy, size,
			html.EscapeString(content))
	}
	text(-14, 30, "", plural(int64(len(p.nodes)), "node"))
	text(14, 17, "quiet", "in "+pluralProcesses(len(p.processes)))
	if len(p.problems) > 0 {
		text(44, 15, "bad", plural(int64(len(p.problems)), "problem"))
		return
	}
	text(44, 15, "quiet", "all neighbors as they should be")
}

func (s svgWriter) legend(p ringPicture) {
	x := svgDiameter + 10
	s.line(`<text x="%g" y="60" font-size="17">Processes</text>`, x)
	s.line(`<text class="quiet" x="%g" y="82" font-size="12">address, nodes, share of the ring</text>`, x)
	for i, q := range p.processes {
		y := svgLegendHead + svgLegendLine*float64(i+1)
		s.line(`<rect x="%g" y="%g" width="14" height="14" rx="4" fill="%s"/>`, x, y-12, p.color(q.addr))
		s.line(`<text class="mono" x="%g" y="%g" font-size="13">%s</text>`, x+24, y, html.EscapeString(q.addr))
		s.line(`<text class="quiet" x="%g" y="%g" font-size="13" text-anchor="end">%d</text>`, x+svgLegendWide-90, y, q.nodes)
		s.line(`<text class="quiet" x="%g" y="%g" font-size="13" text-anchor="end">%.2f%%</text>`, x+svgLegendWide-25, y, 100*q.share)
	}
}

// color is the color of a process: hues a golden angle apart, so that neighbors in the legend differ as much as they can.
func (p ringPicture) color(addr string) string {
	i := slices.IndexFunc(p.processes, func(q ringProcess) bool { return q.addr == addr })
	const golden = 137.508
	return fmt.Sprintf("hsl(%.0f, %d%%, %d%%)", math.Mod(210+golden*float64(i), 360), 62, 48+6*(i/9%3))
}

// angle is an identifier's place in degrees, clockwise from the top.
func angle(id ring.ID) float64 {
	if id.IsZero() {
		return 0
	}
	return 360 * (ring.Arc{Through: id}).Share()
}

func onCircle(degrees, radius float64) (x, y float64) {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	return svgCenter + radius*sin, svgCenter - radius*cos
}

func pluralProcesses(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%s processes", cli.GroupDigits(int64(n)))
}
