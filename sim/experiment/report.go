package experiment

// Report is what an experiment or a run of the simulator has found. Names of tables, series and figures become file names: lower-case
// words with dashes, each one once among the tables and series, and once among the figures.
type Report struct {
	Summary string // one or two sentences: what came out
	Tables  []*Table
	Series  []*Series
	Figures []*Figure
	Notes   []string // what a reader must know to judge the figures, a paragraph each
}

// Origin says whose a figure is.
type Origin int

// The origins of figures.
const (
	Ours   Origin = iota // measured in this run
	Given                // set before it: the parameter that a row or an axis stands for
	Paper                // printed in the paper that is repeated
	Theory               // computed from a formula
)

// Column describes a column of a Table or Series.
type Column struct {
	Name   string // in CSV and JSONL: lower-case words with underscores; it never changes
	Head   string // for people; if empty, Name with blanks
	Unit   string // such as "hops", "s", "B/node/s"; empty for numbers without one and for text
	Doc    string // what exactly is counted
	Of     Origin
	Digits int // decimals shown to people; the files have all that there are
}

// Table is a result to be read: few rows, each column explained, the paper's figures beside ours.
type Table struct {
	Name    string
	Title   string
	Columns []Column
	Rows    [][]any // a cell for each column, see Add

	FileOnly bool // too long to be read: it is written to files and left out of report.html
}

// AddTable appends an empty table to the report.
func (r *Report) AddTable(name, title string, columns ...Column) *Table {
	t := &Table{Name: name, Title: title, Columns: columns}
	r.Tables = append(r.Tables, t)
	return t
}

// Add appends a row. Cells are int, int64, uint64, float64 (NaN for none), string, bool, time.Duration (shown in the column's unit: s if it
// names no other), Estimate (a second column NAME_ci95 in the files), Verdict, or nil for an empty cell. It panics if the cells do not fit the
// columns.
func (t *Table) Add(cells ...any) {
	if len(cells) != len(t.Columns) {
		panic("experiment: table " + t.Name + ": the row does not fit the columns")
	}
	for _, c := range cells {
		checkCell(c)
	}
	t.Rows = append(t.Rows, cells)
}

// Numeric reports whether a column has nothing but numbers in it, which are set flush right.
func (t *Table) Numeric(column int) bool {
	for _, row := range t.Rows {
		switch row[column].(type) {
		case string, bool, Verdict:
			return false
		}
	}
	return true
}

// Series is a result to be plotted or processed: many rows of numbers, the first column being what the others depend on. It is written to
// files and not shown as a table.
type Series struct {
	Name    string
	Title   string
	Columns []Column
	Rows    [][]float64 // NaN for none
}

// AddSeries appends an empty series to the report.
func (r *Report) AddSeries(name, title string, columns ...Column) *Series {
	s := &Series{Name: name, Title: title, Columns: columns}
	r.Series = append(r.Series, s)
	return s
}

// Add appends a row, which the series keeps. It panics if the values do not fit the columns.
func (s *Series) Add(values ...float64) {
	if len(values) != len(s.Columns) {
		panic("experiment: series " + s.Name + ": the row does not fit the columns")
	}
	s.Rows = append(s.Rows, values)
}

// Figure is a picture of lines or bars. Its points are written to files as well.
type Figure struct {
	Name    string
	Title   string
	Caption string // below it; may be empty
	X, Y    Axis
	Lines   []*Line
}

// Axis is an axis of a Figure.
type Axis struct {
	Label    string // with the unit in brackets
	Log      bool   // logarithmic; points at or below 0 are left out
	Log2     bool   // logarithmic with ticks at powers of two
	FromZero bool   // show 0 although no point is near it
}

// Mark is how the points of a Line are drawn.
type Mark int

// The marks.
const (
	Curve Mark = iota // joined by a line, each point marked if there are few
	Dots              // marks alone
	Steps             // a line that keeps its height until the next point, as of a distribution function
	Bars              // an upright bar each, as of a histogram
)

// Line is one set of points in a Figure. Its color follows from its place, its dashes from whose it is.
type Line struct {
	Name   string // in the legend
	Of     Origin
	Mark   Mark
	Points []XY
}

// XY is a point. If Low < High, an error bar is drawn between them.
type XY struct {
	X, Y      float64
	Low, High float64
}

// AddFigure appends an empty figure to the report.
func (r *Report) AddFigure(name, title string, x, y Axis) *Figure {
	f := &Figure{Name: name, Title: title, X: x, Y: y}
	r.Figures = append(r.Figures, f)
	return f
}

// AddLine appends an empty line to the figure.
func (f *Figure) AddLine(name string, of Origin, mark Mark) *Line {
	l := &Line{Name: name, Of: of, Mark: mark}
	f.Lines = append(f.Lines, l)
	return l
}

// Add appends a point.
func (l *Line) Add(x, y float64) { l.Points = append(l.Points, XY{X: x, Y: y}) }

// AddEstimate appends a point with its confidence interval as error bar.
func (l *Line) AddEstimate(x float64, y Estimate) {
	p := XY{X: x, Y: y.Mean}
	if y.Half > 0 {
		p.Low, p.High = y.Mean-y.Half, y.Mean+y.Half
	}
	l.Points = append(l.Points, p)
}

// AddNote appends a paragraph to the notes.
func (r *Report) AddNote(text string) { r.Notes = append(r.Notes, text) }

// Verdicts counts the verdicts in all tables of the report.
func (r *Report) Verdicts() (ok, missed int) {
	for _, t := range r.Tables {
		for _, row := range t.Rows {
			for _, c := range row {
				switch v, is := c.(Verdict); {
				case is && v.OK:
					ok++
				case is:
					missed++
				}
			}
		}
	}
	return ok, missed
}
