package experiment

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// mostMarked is the number of points up to which each of a curve is marked.
const mostMarked = 40

// legendEntry is a line in the legend.
type legendEntry struct {
	text  string
	of    Origin
	thumb []plot.Thumbnailer
}

// addLines draws all lines of the figure. Lines of one name have one color, so that the paper's stands out as the counterpart of ours.
func (f *Figure) addLines(p *plot.Plot) ([]legendEntry, error) {
	var names []string
	var legend []legendEntry
	for _, l := range f.Lines {
		if !slices.Contains(names, l.Name) {
			names = append(names, l.Name)
		}
		points := f.drawable(l)
		if len(points) == 0 {
			continue
		}
		c := palette[slices.Index(names, l.Name)%len(palette)]
		if l.Of == Paper && l.Mark == Dots {
			c = ink // to be seen on a bar of the same name
		}
		plotters, err := l.plotters(points, c)
		if err != nil {
			return nil, fmt.Errorf("figure %s, line %s: %w", f.Name, l.Name, err)
		}
		entry := legendEntry{text: l.Name, of: l.Of}
		if (l.Of == Paper || l.Of == Theory) && !strings.Contains(l.Name, l.Of.String()) {
			entry.text += " (" + l.Of.String() + ")"
		}
		for _, pl := range plotters {
			p.Add(pl)
			if t, ok := pl.(plot.Thumbnailer); ok {
				entry.thumb = append(entry.thumb, t)
			}
		}
		legend = append(legend, entry)
	}
	return legend, nil
}

// drawable leaves out the points that the axes cannot show.
func (f *Figure) drawable(l *Line) []XY {
	shows := func(a Axis, v float64) bool {
		return !math.IsNaN(v) && !math.IsInf(v, 0) && (v > 0 || !a.Log && !a.Log2)
	}
	var points []XY
	for _, p := range l.Points {
		if !shows(f.X, p.X) || !shows(f.Y, p.Y) {
			continue
		}
		if !shows(f.Y, p.Low) || !shows(f.Y, p.High) {
			p.Low, p.High = 0, 0
		}
		points = append(points, p)
	}
	return points
}

// xyPoints makes points known to the plotters, as points and as error bars.
type xyPoints []XY

func (p xyPoints) Len() int                    { return len(p) }
func (p xyPoints) XY(i int) (float64, float64) { return p[i].X, p[i].Y }
func (p xyPoints) YError(i int) (float64, float64) {
	if p[i].Low < p[i].High {
		return p[i].Y - p[i].Low, p[i].High - p[i].Y
	}
	return 0, 0
}

func (l *Line) plotters(points xyPoints, c color.RGBA) ([]plot.Plotter, error) {
	if l.Mark == Bars {
		return []plot.Plotter{&barPlot{points: points, color: c, of: l.Of}}, nil
	}
	var out []plot.Plotter
	if slices.ContainsFunc(points, func(p XY) bool { return p.Low < p.High }) {
		e, err := plotter.NewYErrorBars(points)
		if err != nil {
			return nil, err
		}
		e.Color, e.CapWidth = c, 4
		out = append(out, e)
	}
	if l.Mark != Dots {
		line, err := plotter.NewLine(points)
		if err != nil {
			return nil, err
		}
		line.LineStyle = draw.LineStyle{Color: c, Width: 1.5, Dashes: dashes(l.Of)}
		if l.Mark == Steps {
			line.StepStyle = plotter.PostStep
		}
		out = append(out, line)
	}
	if l.Mark == Dots || l.Mark == Curve && len(points) <= mostMarked && l.Of != Theory {
		dots, err := l.dots(points, c)
		if err != nil {
			return nil, err
		}
		out = append(out, dots...)
	}
	return out, nil
}

// dots marks points: full circles for ours, open ones for the paper's, which hide what is behind them.
func (l *Line) dots(points xyPoints, c color.RGBA) ([]plot.Plotter, error) {
	dots, err := plotter.NewScatter(points)
	if err != nil {
		return nil, err
	}
	dots.GlyphStyle = draw.GlyphStyle{Color: c, Radius: 2.2, Shape: draw.CircleGlyph{}}
	if l.Of != Paper {
		return []plot.Plotter{dots}, nil
	}
	under := *dots
	under.Color, under.Radius = sheet, 2.8
	dots.Shape, dots.Radius = draw.RingGlyph{}, 2.8
	return []plot.Plotter{&under, dots}, nil
}

func dashes(of Origin) []vg.Length {
	switch of {
	case Paper:
		return []vg.Length{5, 3}
	case Theory:
		return []vg.Length{1, 2.5}
	}
	return nil
}

// barPlot draws upright bars at numeric places: filled for ours, as an outline otherwise, so that both may stand on one place.
type barPlot struct {
	points xyPoints
	color  color.RGBA
	of     Origin
}

// half is half the width of a bar, as wide as the closest two points allow.
func (b *barPlot) half() float64 {
	xs := make([]float64, len(b.points))
	for i, p := range b.points {
		xs[i] = p.X
	}
	slices.Sort(xs)
	least := math.Inf(1)
	for i := 1; i < len(xs); i++ {
		if d := xs[i] - xs[i-1]; d > 0 {
			least = math.Min(least, d)
		}
	}
	if math.IsInf(least, 1) {
		least = 1
	}
	return 0.42 * least
}

// Plot implements plot.Plotter.
func (b *barPlot) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	half := b.half()
	foot := y(math.Max(p.Y.Min, 0))
	for _, pt := range b.points {
		left, right, top := x(pt.X-half), x(pt.X+half), y(pt.Y)
		b.bar(c, left, right, foot, top)
		if pt.Low < pt.High {
			style := draw.LineStyle{Color: ink, Width: 0.8}
			mid := (left + right) / 2
			c.StrokeLine2(style, mid, y(pt.Low), mid, y(pt.High))
		}
	}
}

func (b *barPlot) bar(c draw.Canvas, left, right, foot, top vg.Length) {
	corners := []vg.Point{{X: left, Y: foot}, {X: left, Y: top}, {X: right, Y: top}, {X: right, Y: foot}}
	if b.of == Ours {
		c.FillPolygon(b.color, c.ClipPolygonXY(corners))
		return
	}
	style := draw.LineStyle{Color: b.color, Width: 1.2, Dashes: dashes(b.of)}
	c.StrokeLines(style, c.ClipLinesXY(append(corners, corners[0]))...)
}

// DataRange implements plot.DataRanger.
func (b *barPlot) DataRange() (xmin, xmax, ymin, ymax float64) {
	half := b.half()
	xmin, xmax, ymin, ymax = math.Inf(1), math.Inf(-1), 0, math.Inf(-1)
	for _, p := range b.points {
		xmin, xmax = math.Min(xmin, p.X-half), math.Max(xmax, p.X+half)
		ymin, ymax = math.Min(ymin, p.Y), math.Max(ymax, math.Max(p.Y, p.High))
	}
	return xmin, xmax, ymin, ymax
}

// Thumbnail implements plot.Thumbnailer.
func (b *barPlot) Thumbnail(c *draw.Canvas) {
	b.bar(*c, c.Min.X+3, c.Max.X-3, c.Min.Y, c.Max.Y)
}

// drawLegend writes the entries in rows along the upper edge and returns the height that they take.
func drawLegend(c draw.Canvas, style draw.TextStyle, entries []legendEntry) vg.Length {
	const thumb, gap, between vg.Length = 20, 5, 14
	style.XAlign, style.YAlign = draw.XLeft, draw.YCenter
	height := style.Height("Ag") + 4
	x, y := c.Min.X, c.Max.Y-height
	for _, e := range entries {
		width := thumb + gap + style.Width(e.text)
		if x > c.Min.X && x+width > c.Max.X {
			x, y = c.Min.X, y-height
		}
		box := draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{
			Min: vg.Point{X: x, Y: y + 2}, Max: vg.Point{X: x + thumb, Y: y + height - 2},
		}}
		for _, t := range e.thumb {
			t.Thumbnail(&box)
		}
		c.FillText(style, vg.Point{X: x + thumb + gap, Y: y + height/2}, e.text)
		x += width + between
	}
	return c.Max.Y - y + 4
}
