package experiment

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
)

// A datafile is a table of the report as files hold it: for programs, with all digits.
type datafile struct {
	name    string
	title   string
	columns []Column
	rows    int
	cells   func(row int) []any // a JSON value for each column
}

// dataOf lists everything in the report that has rows.
func dataOf(r *Report) []datafile {
	var files []datafile
	for _, t := range r.Tables {
		files = append(files, tableData(t))
	}
	for _, s := range r.Series {
		files = append(files, seriesData(s))
	}
	for _, f := range r.Figures {
		files = append(files, figureData(f))
	}
	return files
}

// tableData gives each column with an Estimate in it a second one for the confidence interval.
func tableData(t *Table) datafile {
	estimated := make([]bool, len(t.Columns))
	for _, row := range t.Rows {
		for i, c := range row {
			if _, ok := c.(Estimate); ok {
				estimated[i] = true
			}
		}
	}
	d := datafile{name: t.Name, title: t.Title, rows: len(t.Rows)}
	for i, c := range t.Columns {
		d.columns = append(d.columns, c)
		if estimated[i] {
			ci := c
			ci.Name, ci.Doc = c.Name+"_ci95", "half-width of the 95 % confidence interval of "+c.Name
			d.columns = append(d.columns, ci)
		}
	}
	d.cells = func(row int) []any {
		var out []any
		for i, cell := range t.Rows[row] {
			out = append(out, t.Columns[i].raw(cell))
			if e, ok := cell.(Estimate); ok {
				out = append(out, finite(e.Half))
			} else if estimated[i] {
				out = append(out, nil)
			}
		}
		return out
	}
	return d
}

func seriesData(s *Series) datafile {
	return datafile{s.Name, s.Title, s.Columns, len(s.Rows), func(row int) []any {
		out := make([]any, len(s.Rows[row]))
		for i, x := range s.Rows[row] {
			out[i] = finite(x)
		}
		return out
	}}
}

func figureData(f *Figure) datafile {
	type point struct {
		line *Line
		XY
	}
	var points []point
	for _, l := range f.Lines {
		for _, p := range l.Points {
			points = append(points, point{l, p})
		}
	}
	columns := []Column{
		{Name: "line", Doc: "name of the line"},
		{Name: "of", Doc: "whose it is: ours, given, paper or theory"},
		{Name: "x", Doc: f.X.Label},
		{Name: "y", Doc: f.Y.Label},
		{Name: "low", Doc: "lower end of the error bar"},
		{Name: "high", Doc: "upper end of the error bar"},
	}
	return datafile{f.file(), f.Title, columns, len(points), func(row int) []any {
		p := points[row]
		low, high := any(nil), any(nil)
		if p.Low < p.High {
			low, high = finite(p.Low), finite(p.High)
		}
		return []any{p.line.Name, p.line.Of.String(), finite(p.X), finite(p.Y), low, high}
	}}
}

// file is the name of the figure's files without their endings.
func (f *Figure) file() string { return "fig-" + f.Name }

// csv is the file for spreadsheets: one line of names, an empty cell for none.
func (d datafile) csv() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	line := make([]string, len(d.columns))
	for i, c := range d.columns {
		line[i] = c.Name
	}
	w.Write(line) // a bytes.Buffer takes everything
	for row := range d.rows {
		for i, cell := range d.cells(row) {
			switch v := cell.(type) {
			case nil:
				line[i] = ""
			case float64:
				line[i] = strconv.FormatFloat(v, 'g', -1, 64)
			default:
				line[i] = fmt.Sprint(v)
			}
		}
		w.Write(line)
	}
	w.Flush()
	return b.Bytes()
}

// jsonl is the file for scripts: an object a row, members in the order of the columns, null for none.
func (d datafile) jsonl() []byte {
	var b bytes.Buffer
	for row := range d.rows {
		b.WriteByte('{')
		for i, cell := range d.cells(row) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(mustJSON(d.columns[i].Name))
			b.WriteByte(':')
			b.Write(mustJSON(cell))
		}
		b.WriteString("}\n")
	}
	return b.Bytes()
}

// mustJSON encodes what cannot fail: numbers that are finite, strings, booleans, nil.
func mustJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// schemaJSON describes the columns of all files.
type schemaJSON struct {
	File    string       `json:"file"` // without .csv or .jsonl
	Title   string       `json:"title"`
	Columns []ColumnJSON `json:"columns"`
}

// ColumnJSON describes a column for programs.
type ColumnJSON struct {
	Name string `json:"name"`
	Unit string `json:"unit,omitempty"`
	Of   string `json:"of"`
	Doc  string `json:"doc"`
}

func schemaOf(files []datafile) []schemaJSON {
	schema := make([]schemaJSON, len(files))
	for i, f := range files {
		schema[i] = schemaJSON{File: f.name, Title: f.title}
		for _, c := range f.columns {
			schema[i].Columns = append(schema[i].Columns, ColumnJSON{c.Name, c.Unit, c.Of.String(), c.Doc})
		}
	}
	return schema
}

// String is the origin's name in files.
func (o Origin) String() string {
	switch o {
	case Given:
		return "given"
	case Paper:
		return "paper"
	case Theory:
		return "theory"
	}
	return "ours"
}

// writeFile puts a file in place as a whole: whoever reads it, also after a crash, finds all of it or none.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it has its name, as it should
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// TableJSON is a table for programs.
type TableJSON struct {
	Name    string            `json:"name"`
	Title   string            `json:"title"`
	Columns []ColumnJSON      `json:"columns"`
	Rows    []json.RawMessage `json:"rows"` // an object each, as in the JSONL file
}

// JSON returns the tables that a person would read, for programs.
func (r *Report) JSON() []TableJSON {
	tables := []TableJSON{}
	for _, t := range r.Tables {
		if t.FileOnly {
			continue
		}
		d := tableData(t)
		out := TableJSON{Name: t.Name, Title: t.Title, Columns: schemaOf([]datafile{d})[0].Columns, Rows: []json.RawMessage{}}
		for line := range bytes.Lines(d.jsonl()) {
			out.Rows = append(out.Rows, json.RawMessage(bytes.TrimSuffix(line, []byte("\n"))))
		}
		tables = append(tables, out)
	}
	return tables
}

// finite returns x, or nil if JSON cannot say it.
func finite(x float64) any {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return x
}
