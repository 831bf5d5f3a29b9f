package experiment

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"
)

//go:embed report.html.tmpl
var pageSource string

// page is what the template of report.html shows.
type page struct {
	Meta
	Report     *Report
	Complete   bool
	CommandLn  string
	OK, Miss   int
	Paragraphs []string
	Tables     []pageTable
	Figures    []pageFigure
	Files      []pageFile
}

type pageTable struct {
	Name, Title string
	Columns     []pageColumn
	Rows        [][]pageCell
}

type pageColumn struct {
	Title, Unit, Doc, Class string
}

type pageCell struct {
	Text, Class string
	Hint        string // shown when the pointer rests on it
}

type pageFigure struct {
	Name, Title, Caption string
	SVG                  template.HTML
}

type pageFile struct {
	Name, Title string
	Rows        string
}

// pageOf makes report.html: one file with everything in it.
func pageOf(m Meta, r *Report, complete bool, data []datafile) ([]byte, error) {
	p := page{Meta: m, Report: r, Complete: complete, CommandLn: ShellLine(m.Command), Paragraphs: paragraphs(m.About)}
	p.OK, p.Miss = r.Verdicts()
	for _, t := range r.Tables {
		if !t.FileOnly {
			p.Tables = append(p.Tables, pageTableOf(t))
		}
	}
	for _, f := range r.Figures {
		svg, err := f.svg("")
		if err != nil {
			return nil, err
		}
		p.Figures = append(p.Figures, pageFigure{f.file(), f.Title, f.Caption, template.HTML(themed(svg))}) //nolint:gosec // drawn by us, text escaped by vgsvg
	}
	for _, d := range data {
		p.Files = append(p.Files, pageFile{d.name, d.title, groupDigits(int64(d.rows))})
	}
	t, err := template.New("report").Parse(pageSource)
	if err != nil {
		return nil, fmt.Errorf("report.html: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("report.html: %w", err)
	}
	return b.Bytes(), nil
}

func pageTableOf(t *Table) pageTable {
	out := pageTable{Name: t.Name, Title: t.Title}
	for i, c := range t.Columns {
		class := c.Of.String()
		if t.Numeric(i) {
			class += " num"
		}
		out.Columns = append(out.Columns, pageColumn{c.Title(), c.Unit, c.Doc, class})
	}
	for _, row := range t.Rows {
		cells := make([]pageCell, len(row))
		for i, cell := range row {
			cells[i] = pageCell{Text: t.Columns[i].Text(cell), Class: out.Columns[i].Class}
			switch v := cell.(type) {
			case Verdict:
				cells[i] = verdictCell(v)
			case Estimate:
				cells[i].Hint = fmt.Sprintf("mean of %d runs with its 95 %% confidence interval", v.N)
			}
		}
		out.Rows = append(out.Rows, cells)
	}
	return out
}

func verdictCell(v Verdict) pageCell {
	if v.OK {
		return pageCell{"✓ ok", "verdict ok", v.Text}
	}
	return pageCell{"✗ not ok: " + v.Text, "verdict miss", v.Text}
}

// themed makes a drawing follow the style sheet of the page: its colors become variables, and it grows with the page.
func themed(svg string) string {
	if i := strings.Index(svg, "<svg"); i > 0 {
		svg = svg[i:] // without the XML declaration, which is for files
	}
	var pairs []string
	for _, v := range variables() {
		pairs = append(pairs, v.hex, "var(--"+v.name+")")
	}
	return strings.NewReplacer(pairs...).Replace(svg)
}

// paragraphs parts text at blank lines and joins the lines of each part.
func paragraphs(text string) []string {
	var out []string
	for part := range strings.SplitSeq(text, "\n\n") {
		if p := strings.Join(strings.Fields(part), " "); p != "" {
			out = append(out, p)
		}
	}
	return out
}

// ShellLine writes words as a line that a POSIX shell reads as the same words.
func ShellLine(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = w
		if w == "" || strings.Trim(w, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=:,+@%") != "" {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
