package experiment_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chordkv/chord/sim/experiment"
)

// sample is a report with everything in it that a report can have.
func sample() *experiment.Report {
	r := &experiment.Report{Summary: "Two of three comparisons agree."}
	t := r.AddTable("paths", "Calls of a lookup <by size>",
		experiment.Column{Name: "nodes", Of: experiment.Given, Doc: "size of the ring"},
		experiment.Column{Name: "mean", Unit: "calls", Digits: 2, Doc: "with the call to the owner"},
		experiment.Column{Name: "paper", Of: experiment.Paper, Unit: "calls", Digits: 2, Doc: "read off the figure"},
		experiment.Column{Name: "latency", Unit: "ms", Digits: 1, Doc: "median"},
		experiment.Column{Name: "remark", Doc: "what to know"},
		experiment.Column{Name: "verdict", Doc: "within 3 %"},
	)
	t.Add(8, experiment.Estimate{Mean: 1.7123, Half: 0.02, N: 10}, 1.7, 1500*time.Microsecond, "a, \"b\" & <c>", experiment.Within(0.03).Judge(1.7123, 1.7))
	t.Add(1024, experiment.Estimate{Mean: 5.5, Half: math.NaN(), N: 1}, 4.9, time.Second, "", experiment.Within(0.03).Judge(5.5, 4.9))
	t.Add(1048576, math.NaN(), nil, 250*time.Millisecond, "no figure", experiment.Demand(true, ""))
	s := r.AddSeries("series", "The run", experiment.Column{Name: "time", Unit: "s", Doc: "virtual"}, experiment.Column{Name: "live", Doc: "processes"})
	f := r.AddFigure("lengths", "Calls to the predecessor", experiment.Axis{Label: "nodes", Log2: true}, experiment.Axis{Label: "calls", FromZero: true})
	f.Caption = "Bars are 95 % confidence intervals."
	ours, theirs, theory := f.AddLine("16 successors", experiment.Ours, experiment.Curve), f.AddLine("16 successors", experiment.Paper, experiment.Curve),
		f.AddLine("1/2 log2 N", experiment.Theory, experiment.Curve)
	for k := 3.0; k <= 20; k++ {
		n := math.Pow(2, k)
		ours.AddEstimate(n, experiment.Estimate{Mean: k/2 + 0.2, Half: 0.3})
		theirs.Add(n, k/2+0.4)
		theory.Add(n, k/2)
	}
	ours.Add(0, 1) // has no place on a logarithmic axis
	pdf := r.AddFigure("pdf", "Share of lookups by length", experiment.Axis{Label: "calls"}, experiment.Axis{Label: "share", FromZero: true})
	bars, dots := pdf.AddLine("share", experiment.Ours, experiment.Bars), pdf.AddLine("share", experiment.Paper, experiment.Dots)
	for i, p := range []float64{0.01, 0.06, 0.2, 0.4, 0.23, 0.09, 0.01} {
		bars.Add(float64(i), p)
		dots.Add(float64(i), p*1.05)
		s.Add(float64(10*i), 1000*p)
	}
	s.Add(70, math.NaN())
	steps := r.AddFigure("latency", "Latency", experiment.Axis{Label: "ms", Log: true}, experiment.Axis{Label: "share of lookups"})
	l := steps.AddLine("lookups", experiment.Ours, experiment.Steps)
	for i := range 200 {
		l.Add(math.Exp(float64(i)/30), float64(i)/200)
	}
	r.AddFigure("empty", "Nothing was measured", experiment.Axis{Label: "x"}, experiment.Axis{Label: "y"})
	r.AddNote("One thing to know.")
	return r
}

func sampleMeta() experiment.Meta {
	return experiment.Meta{
		Kind: experiment.KindExperiment, Name: "sample", Title: "How long is a <sample>?", Source: "SIGCOMM 2001, figure 10",
		About: "One paragraph\nin two lines.\n\nAnother.", Command: []string{"chordsim", "experiment", "sample", "--set", "note=it's"}, Seed: 7,
		Settings: []experiment.Setting{{Name: "nodes", Value: "8,1024", Doc: "sizes"}}, Version: "v1.2.3", Commit: "abc", Go: "go1.26",
	}
}

func open(t *testing.T, path string, m experiment.Meta, fresh bool) *experiment.Dir {
	t.Helper()
	d, err := experiment.OpenDir(path, m, fresh)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestDirHasEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out", "sample-7")
	if err := open(t, dir, sampleMeta(), false).Write(sample(), true, experiment.File{Name: "scenario.yaml", Data: []byte("nodes: 8\n")}); err != nil {
		t.Fatal(err)
	}
	wantCSV := `nodes,mean,mean_ci95,paper,latency,remark,verdict
8,1.7123,0.02,1.7,1.5,"a, ""b"" & <c>","ok: +0.72 %, allowed ±3 %"
1024,5.5,,4.9,1000,,"not ok: +12 %, allowed ±3 %"
1048576,,,,250,no figure,ok
`
	if got := read(t, dir, "paths.csv"); got != wantCSV {
		t.Errorf("paths.csv:\n%s\nwant\n%s", got, wantCSV)
	}
	wantLine := `{"nodes":1024,"mean":5.5,"mean_ci95":null,"paper":4.9,"latency":1000,"remark":"","verdict":"not ok: +12 %, allowed ±3 %"}`
	if got := strings.Split(read(t, dir, "paths.jsonl"), "\n")[1]; got != wantLine {
		t.Errorf("paths.jsonl: got %s, want %s", got, wantLine)
	}
	if got, want := read(t, dir, "series.csv"), "time,live\n0,10\n10,60\n20,200\n30,400\n40,230\n50,90\n60,10\n70,\n"; got != want {
		t.Errorf("series.csv: got %q, want %q", got, want)
	}
	checkParams(t, dir, true)
	checkFiles(t, dir)
}

// checkParams reads params.json and checks that it lists all files and neither more nor less.
func checkParams(t *testing.T, dir string, complete bool) {
	t.Helper()
	var p struct {
		MadeBy   string `json:"made_by"`
		Command  []string
		Seed     uint64
		Settings []struct{ Name, Value string }
		Commit   string
		Complete bool
		Files    []string
	}
	if err := json.Unmarshal([]byte(read(t, dir, "params.json")), &p); err != nil {
		t.Fatal(err)
	}
	if p.MadeBy != "chordsim" || p.Seed != 7 || p.Commit != "abc" || p.Complete != complete || len(p.Command) != 5 || p.Settings[0].Value != "8,1024" {
		t.Errorf("params.json: %+v", p)
	}
	var there []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "params.json" && !e.IsDir() {
			there = append(there, e.Name())
		}
	}
	slices.Sort(p.Files)
	if !slices.Equal(p.Files, there) {
		t.Errorf("params.json lists %v, there are %v", p.Files, there)
	}
}

// checkFiles checks that every file is what its name says.
func checkFiles(t *testing.T, dir string) {
	t.Helper()
	var schema []struct {
		File    string
		Columns []struct{ Name, Doc string }
	}
	if err := json.Unmarshal([]byte(read(t, dir, "schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	for _, s := range schema {
		head, err := csv.NewReader(strings.NewReader(read(t, dir, s.File+".csv"))).Read()
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range s.Columns {
			if head[i] != c.Name || c.Doc == "" {
				t.Errorf("%s, column %d: %q in the file and %q in the schema, meaning %q", s.File, i, head[i], c.Name, c.Doc)
			}
		}
	}
	for _, name := range []string{"lengths", "pdf", "latency", "empty"} {
		name = "fig-" + name
		img, err := png.Decode(strings.NewReader(read(t, dir, name+".png")))
		if err != nil || img.Bounds().Dx() < 900 {
			t.Errorf("%s.png: %v", name, err)
		}
		wellFormed(t, name+".svg", read(t, dir, name+".svg"))
	}
}

func wellFormed(t *testing.T, name, text string) {
	t.Helper()
	dec := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := dec.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
	}
}

// TestPageStandsAlone: report.html loads nothing, escapes what it shows, and draws in the colors of its own style sheet.
func TestPageStandsAlone(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir, sampleMeta(), false).Write(sample(), true); err != nil {
		t.Fatal(err)
	}
	page := read(t, dir, "report.html")
	for _, want := range []string{
		"How long is a &lt;sample&gt;?", "Calls of a lookup &lt;by size&gt;", "1.71 ± 0.02", "1,048,576", "<small>calls</small>",
		"✗ not ok: &#43;12 %, allowed ±3 %", "chordsim experiment sample --set &#39;note=it", "prefers-color-scheme: dark", "2 as demanded", "1 not as demanded",
		"One paragraph in two lines.", "One thing to know.", "with the call to the owner", "Bars are 95 % confidence intervals.", "var(--c0)",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("report.html has no %q", want)
		}
	}
	if m := regexp.MustCompile(`(?i)(src|href)="?(https?:|//)|url\(|@import|<script|<link`).FindString(page); m != "" {
		t.Errorf("report.html loads something: %s", m)
	}
	drawings := page[strings.Index(page, "<svg"):strings.LastIndex(page, "</svg>")]
	if m := regexp.MustCompile(`#[0-9A-Fa-f]{6}`).FindString(drawings); m != "" {
		t.Errorf("a drawing has the fixed color %s", m)
	}
	if strings.Contains(page, "Not finished") {
		t.Error("a complete report says that it is not")
	}
	if !bytes.Contains([]byte(page), []byte("series.csv")) {
		t.Error("report.html does not name the data")
	}
}

func TestDirOfAnInterruptedRun(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, sampleMeta(), false)
	if err := d.Write(nil, false); err != nil {
		t.Fatal(err)
	}
	if page := read(t, dir, "report.html"); !strings.Contains(page, "Not finished") {
		t.Error("report.html does not say that the run was interrupted")
	}
	checkParams(t, dir, false)
	if d = open(t, dir, sampleMeta(), false); d.Complete {
		t.Error("an interrupted run counts as complete")
	}
	if err := d.Write(sample(), true); err != nil {
		t.Fatal(err)
	}
	if !open(t, dir, sampleMeta(), false).Complete {
		t.Error("a complete run does not count as complete")
	}
}

// TestDirIsNotTakenFromOthers: what this package did not make stays, whatever is asked.
func TestDirIsNotTakenFromOthers(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "mine.txt")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, fresh := range []bool{false, true} {
		if _, err := experiment.OpenDir(dir, sampleMeta(), fresh); !errors.Is(err, experiment.ErrForeign) {
			t.Errorf("fresh %v: got %v, want ErrForeign", fresh, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "params.json"), []byte(`{"seed": 7}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := experiment.OpenDir(dir, sampleMeta(), true); !errors.Is(err, experiment.ErrForeign) {
		t.Errorf("with a params.json of another program: got %v, want ErrForeign", err)
	}
	if got := read(t, mine); got != "mine" {
		t.Errorf("the file has %q", got)
	}
}

func TestDirOfAnotherRun(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir, sampleMeta(), false).Write(sample(), true); err != nil {
		t.Fatal(err)
	}
	note := filepath.Join(dir, "my-notes.txt")
	if err := os.WriteFile(note, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other := sampleMeta()
	other.Seed = 8
	if _, err := experiment.OpenDir(dir, other, false); !errors.Is(err, experiment.ErrOther) || !strings.Contains(err.Error(), "seed 7, not 8") {
		t.Errorf("got %v, want ErrOther with the seeds", err)
	}
	newer := sampleMeta()
	newer.Commit = "def"
	if d := open(t, dir, newer, false); d.Complete || d.Outdated != "abc" {
		t.Errorf("with another commit: %+v, want what abc made to be replaced", d)
	}
	if _, err := os.Stat(filepath.Join(dir, "paths.csv")); err == nil {
		t.Error("the results of the other commit are still there")
	}
	open(t, dir, other, true)
	if _, err := os.Stat(note); err != nil {
		t.Error("a file of somebody else is gone")
	}
}

func TestNamesAreUnique(t *testing.T) {
	r := sample()
	r.AddSeries("paths", "the name of a table", experiment.Column{Name: "x"})
	if err := open(t, t.TempDir(), sampleMeta(), false).Write(r, true); err == nil || !strings.Contains(err.Error(), "paths.csv") {
		t.Errorf("got %v, want an error about paths.csv", err)
	}
}

func TestVerdicts(t *testing.T) {
	for _, tc := range []struct {
		tolerance   experiment.Tolerance
		got, target float64
		want        bool
	}{
		{experiment.Within(0.05), 1.05, 1, true},
		{experiment.Within(0.05), 1.0501, 1, false},
		{experiment.Within(0.05), 0.949, 1, false},
		{experiment.Within(0.05), math.NaN(), 1, false},
		{experiment.AtMost(0), 15, 16, true},
		{experiment.AtMost(0), 16.1, 16, false},
		{experiment.AtMost(0), 0, 0, true},
		{experiment.AtMost(0.05), 1, 0, false},
		{experiment.AtMost(0).Slack(1), 1, 0, true},
		{experiment.AtMost(0), -5, 0, true},
		{experiment.AtMost(0), math.NaN(), 0, false},
		{experiment.AtLeast(0.1), 0.9, 1, true},
		{experiment.AtLeast(0.1), 100, 1, true},
		{experiment.AtLeast(0.1), 0.89, 1, false},
		{experiment.AtLeast(0.1), 7, 0, true},
		{experiment.Within(0).Slack(0.5), 3.5, 3, true},
		{experiment.Within(0).Slack(0.5), 2.4, 3, false},
		{experiment.Within(0.1), -1.05, -1, true},
	} {
		if v := tc.tolerance.Judge(tc.got, tc.target); v.OK != tc.want || v.Text == "" {
			t.Errorf("%v against %v with %+v: got %v, want ok %v", tc.got, tc.target, tc.tolerance, v, tc.want)
		}
	}
}

func TestRowsMustFit(t *testing.T) {
	table := (&experiment.Report{}).AddTable("t", "", experiment.Column{Name: "a"})
	for name, add := range map[string]func(){
		"too many cells": func() { table.Add(1, 2) },
		"a wrong type":   func() { table.Add([]int{1}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			add()
		}()
	}
}
