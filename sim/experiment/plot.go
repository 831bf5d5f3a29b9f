package experiment

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"math"
	"strings"

	"git.sr.ht/~sbinet/gg"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The size of a figure and the resolution of its PNG.
const (
	figureWidth  = 6.4 * vg.Inch
	figureHeight = 3.8 * vg.Inch
	pngDPI       = 160
)

// The colors of figures on white. In report.html each is a variable of its style sheet, which has a second set for dark screens; so no
// two may be equal, nor #000000, which SVG leaves out.
var (
	ink     = color.RGBA{0x1f, 0x23, 0x28, 0xff}
	faint   = color.RGBA{0xd8, 0xdc, 0xe2, 0xff}
	sheet   = color.RGBA{0xff, 0xff, 0xfe, 0xff}
	palette = []color.RGBA{ // told apart by the color-blind too (after Okabe and Ito)
		{0x00, 0x66, 0xa6, 0xff},
		{0xc8, 0x52, 0x00, 0xff},
		{0x00, 0x80, 0x60, 0xff},
		{0xa8, 0x4f, 0x86, 0xff},
		{0x8a, 0x6d, 0x00, 0xff},
		{0x2d, 0x86, 0xc4, 0xff},
		{0x5b, 0x4b, 0xb5, 0xff},
		{0x6b, 0x6f, 0x76, 0xff},
	}
)

// variable is what a color of a figure is called in the style sheet of report.html.
type variable struct {
	hex  string
	name string
}

func variables() []variable {
	list := []variable{{hexColor(ink), "ink"}, {hexColor(faint), "faint"}, {hexColor(sheet), "sheet"}}
	for i, c := range palette {
		list = append(list, variable{hexColor(c), fmt.Sprintf("c%d", i)})
	}
	return list
}

func hexColor(c color.RGBA) string { return fmt.Sprintf("#%02X%02X%02X", c.R, c.G, c.B) }

// newPicture returns what the PNGs of a report are drawn on, one after the other: a new one for each, and the copy that vgimg makes of it, would
// be a third of the memory of a run of six hours.
func newPicture() *image.RGBA {
	return image.NewRGBA(image.Rect(0, 0, int(figureWidth.Dots(pngDPI)+0.5), int(figureHeight.Dots(pngDPI)+0.5)))
}

// png draws the figure with its title over what is on the picture.
func (f *Figure) png(on *image.RGBA) ([]byte, error) {
	ctx := gg.NewContextForRGBA(on)
	ctx.SetLineCapButt()
	ctx.InvertY()
	c := vgimg.NewWith(vgimg.UseImageWithContext(on, ctx), vgimg.UseDPI(pngDPI))
	if err := f.draw(draw.New(c), f.Title); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: c}).WriteTo(&b); err != nil {
		return nil, fmt.Errorf("figure %s: %w", f.Name, err)
	}
	return b.Bytes(), nil
}

// svg draws the figure, with its title on white for a file of its own.
func (f *Figure) svg(title string) (string, error) {
	c := vgsvg.New(figureWidth, figureHeight)
	if err := f.draw(draw.New(c), title); err != nil {
		return "", err
	}
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", fmt.Errorf("figure %s: %w", f.Name, err)
	}
	// Liberation Sans has the widths of Arial and Helvetica, so that text fits where it is not installed.
	return strings.ReplaceAll(b.String(), "font-family:Liberation Sans;", "font-family:'Liberation Sans',Arial,Helvetica,sans-serif;"), nil
}

// draw lays the figure out: title, legend, plot.
func (f *Figure) draw(c draw.Canvas, title string) error {
	p := plot.New()
	p.BackgroundColor = sheet
	text := func(s *draw.TextStyle, size vg.Length) {
		s.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
		s.Color = ink
	}
	text(&p.Title.TextStyle, 12)
	p.Title.Text, p.Title.Padding = title, 6
	for _, a := range []struct {
		axis *plot.Axis
		of   Axis
	}{{&p.X, f.X}, {&p.Y, f.Y}} {
		text(&a.axis.Label.TextStyle, 10)
		text(&a.axis.Tick.Label, 9)
		a.axis.Label.Text, a.axis.Color, a.axis.Tick.Color = a.of.Label, ink, ink
		a.axis.Padding = 4
		a.axis.Tick.Marker = numberTicks{}
		if a.of.Log || a.of.Log2 {
			a.axis.Scale, a.axis.Tick.Marker = plot.LogScale{}, logTicks{base: 10}
			if a.of.Log2 {
				a.axis.Tick.Marker = logTicks{base: 2}
			}
		}
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = faint, faint
	p.Add(grid)
	legend, err := f.addLines(p)
	if err != nil {
		return err
	}
	f.settleRange(p)
	c.SetColor(sheet)
	c.Fill(c.Path())
	c = draw.Crop(c, 8, -12, 6, -6)
	if title != "" {
		style := p.Title.TextStyle
		style.XAlign, style.YAlign = draw.XLeft, draw.YTop
		c.FillText(style, vg.Point{X: c.Min.X, Y: c.Max.Y}, title)
		c = draw.Crop(c, 0, 0, 0, -style.Height(title)-p.Title.Padding)
		p.Title.Text = ""
	}
	if len(legend) > 1 || len(legend) == 1 && legend[0].of != Ours {
		style := p.Title.TextStyle
		style.Font.Size = 9
		c = draw.Crop(c, 0, 0, 0, -drawLegend(c, style, legend))
	}
	p.Draw(c)
	return nil
}

// settleRange makes axes that are not empty, and begin at 0 where they shall.
func (f *Figure) settleRange(p *plot.Plot) {
	for _, a := range []struct {
		axis *plot.Axis
		of   Axis
	}{{&p.X, f.X}, {&p.Y, f.Y}} {
		log := a.of.Log || a.of.Log2
		if a.of.FromZero && !log {
			a.axis.Min, a.axis.Max = math.Min(a.axis.Min, 0), math.Max(a.axis.Max, 0)
		}
		if math.IsInf(a.axis.Min, 0) || math.IsInf(a.axis.Max, 0) {
			a.axis.Min, a.axis.Max = 1, 10
		}
		switch {
		case a.axis.Min < a.axis.Max && log:
		case a.axis.Min < a.axis.Max && a.axis == &p.Y:
			a.axis.Max += (a.axis.Max - a.axis.Min) / 25 // room for the mark of the highest point
		case a.axis.Min < a.axis.Max:
		case log:
			a.axis.Min, a.axis.Max = a.axis.Min/2, a.axis.Max*2
		default:
			margin := math.Max(math.Abs(a.axis.Min)/10, 0.5)
			a.axis.Min, a.axis.Max = a.axis.Min-margin, a.axis.Max+margin
		}
	}
}
