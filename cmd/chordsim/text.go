package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/sim/experiment"
)

// printTable shows a table for people: columns aligned, units below the headings, verdicts in color.
func (a *app) printTable(t *experiment.Table) {
	st := a.styleFor(a.stdoutTTY)
	cells := [][]string{make([]string, len(t.Columns)), make([]string, len(t.Columns))}
	right := make([]bool, len(t.Columns))
	units := false
	for i, c := range t.Columns {
		cells[0][i], cells[1][i] = c.Title(), c.Unit
		units = units || c.Unit != ""
		right[i] = t.Numeric(i)
	}
	if !units {
		cells = cells[:1]
	}
	heads := len(cells)
	for _, row := range t.Rows {
		line := make([]string, len(row))
		for i, cell := range row {
			line[i] = t.Columns[i].Text(cell)
			if v, ok := cell.(experiment.Verdict); ok && v.OK {
				line[i] = "ok"
			}
		}
		cells = append(cells, line)
	}
	widths := make([]int, len(t.Columns))
	for _, line := range cells {
		for i, text := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	a.printf("\n%s\n\n", st.Bold(t.Title))
	for n, line := range cells {
		var b strings.Builder
		for i, text := range line {
			b.WriteString("  ")
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if n >= heads {
				text = verdictStyle(st, t.Rows[n-heads][i], text)
			}
			if right[i] {
				b.WriteString(pad + text)
			} else {
				b.WriteString(text + pad)
			}
		}
		a.printf("%s\n", strings.TrimRight(b.String(), " "))
	}
}

func verdictStyle(st cli.Style, cell any, text string) string {
	v, ok := cell.(experiment.Verdict)
	switch {
	case ok && v.OK:
		return st.Green(text)
	case ok:
		return st.Red(text)
	}
	return text
}

// printReport shows what a person would read of a report.
func (a *app) printReport(r *experiment.Report) {
	for _, t := range r.Tables {
		if !t.FileOnly && len(t.Rows) > 0 {
			a.printTable(t)
		}
	}
	for _, n := range r.Notes {
		a.printf("\n%s\n", wrap(n, 100))
	}
	a.printf("\n%s\n", wrap(r.Summary, 100))
}

// wrap breaks text into lines of at most width columns, between words.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
		case column+1+n > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}

// firstSentence is the short form of a description.
func firstSentence(text string) string {
	if i := strings.Index(text, ". "); i >= 0 {
		return text[:i+1]
	}
	return text
}

// plural writes "1 run" and "2 runs".
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%s %ss", cli.GroupDigits(int64(n)), one)
}
