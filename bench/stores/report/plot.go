package main

import (
	"bytes"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"phantomvm/bench/result"
)

// colours tell apart for people with any kind of colour vision (Okabe and Ito).
var colours = []color.RGBA{
	{0, 114, 178, 255},
	{213, 94, 0, 255},
	{0, 158, 115, 255},
	{204, 121, 167, 255},
	{230, 159, 0, 255},
	{86, 180, 233, 255},
	{0, 0, 0, 255},
}

var shapes = []draw.GlyphDrawer{
	draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.CrossGlyph{}, draw.RingGlyph{}, draw.PyramidGlyph{}, draw.PlusGlyph{},
}

// marked is the number of points up to which each gets a mark.
const marked = 20

func drawPlot(p *result.Plot) (*plot.Plot, error) {
	out := plot.New()
	sans(out)
	out.Title.Text, out.X.Label.Text, out.Y.Label.Text = p.Title, p.X, p.Y
	out.Title.Padding = vg.Points(10)
	if p.LogX {
		out.X.Scale, out.X.Tick.Marker = plot.LogScale{}, logTicks{}
	}
	if p.LogY {
		out.Y.Scale, out.Y.Tick.Marker = plot.LogScale{}, logTicks{}
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{205}, color.Gray{205}
	out.Add(grid)
	for i, s := range p.Series {
		xy := make(plotter.XYs, len(s.Points))
		for k, pt := range s.Points {
			xy[k] = plotter.XY{X: pt[0], Y: pt[1]}
		}
		line, points, err := plotter.NewLinePoints(xy)
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = colours[i%len(colours)], vg.Points(1.5)
		points.Color, points.Shape, points.Radius = line.Color, shapes[i%len(shapes)], vg.Points(3)
		if s.Dashed {
			line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		}
		out.Add(line)
		if s.Dashed || len(xy) > marked {
			out.Legend.Add(s.Name, line)
			continue
		}
		out.Add(points)
		out.Legend.Add(s.Name, line, points)
	}
	if !p.LogY {
		out.Y.Min = math.Min(0, out.Y.Min)
	}
	out.Legend.Top, out.Legend.Left = true, rising(p)
	out.Legend.YOffs, out.Legend.Padding = -vg.Points(4), vg.Points(2)
	out.Legend.XOffs = vg.Points(8)
	if !out.Legend.Left {
		out.Legend.XOffs = -vg.Points(8)
	}
	out.Y.Max = headroom(out.Y.Min, out.Y.Max, p.LogY)
	return out, nil
}

// sans is easier to read on a screen.
func sans(p *plot.Plot) {
	for _, s := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		s.Font.Variant = "Sans"
	}
	p.Title.TextStyle.Font.Size = vg.Points(13)
}

// drawTo writes one plot; the file's extension says in which format.
func drawTo(p *result.Plot, path string) error {
	out, err := drawPlot(p)
	if err != nil {
		return err
	}
	// The library leaves no margin.
	const width, height, margin = 6.4 * vg.Inch, 4.2 * vg.Inch, 8
	c, err := draw.NewFormattedCanvas(width, height, strings.TrimPrefix(filepath.Ext(path), "."))
	if err != nil {
		return err
	}
	whole := draw.New(c)
	whole.FillPolygon(color.White, []vg.Point{{}, {X: width}, {X: width, Y: height}, {Y: height}})
	out.Draw(draw.Crop(whole, margin, -2*margin, margin, -margin))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return err
	}
	// The font may not be installed where the plot is looked at.
	svg := bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	return os.WriteFile(path, svg, 0o644)
}

// headroom leaves place for the legend.
func headroom(low, high float64, log bool) float64 {
	if log {
		return high * math.Pow(high/low, 0.3)
	}
	return high + 0.3*(high-low)
}

// rising tells whether the curves end higher than they begin, so that the legend fits on the left.
func rising(p *result.Plot) bool {
	sum := 0.0
	for _, s := range p.Series {
		if n := len(s.Points); n > 1 && s.Points[0][1] > 0 && s.Points[n-1][1] > 0 {
			sum += math.Log(s.Points[n-1][1] / s.Points[0][1])
		}
	}
	return sum > 0
}

// logTicks are at 1 to 9 of each power of ten; 1, and 2 and 5 on short axes, have labels.
type logTicks struct{}

// Ticks implements plot.Ticker.
func (logTicks) Ticks(low, high float64) (ticks []plot.Tick) {
	short := high/low < 300
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		for m := 1.0; m < 10; m++ {
			v := m * math.Pow(10, e)
			if v < low*0.999 || v > high*1.001 {
				continue
			}
			t := plot.Tick{Value: v}
			if m == 1 || short && (m == 2 || m == 5) {
				t.Label = strconv.FormatFloat(v, 'g', 6, 64)
			}
			ticks = append(ticks, t)
		}
	}
	return ticks
}
