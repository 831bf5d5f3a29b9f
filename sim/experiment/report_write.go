package experiment

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
)

// Write fills the directory: params.json, schema.json with the meaning of every column, CSV and JSONL of all tables, series and
// figures, PNG and SVG of the figures, report.html. A report that is not complete says so, and keeps the finished points beside it; with
// nil there is nothing to write but this. extra are more files, by name.
func (d *Dir) Write(r *Report, complete bool, extra ...File) error {
	if r == nil {
		r = &Report{}
	}
	files, err := d.render(r, complete)
	if err != nil {
		return err
	}
	files = append(files, extra...)
	names := make(map[string]bool, len(files))
	var list []string
	for _, f := range files {
		if names[f.Name] || f.Name == paramsFile {
			return fmt.Errorf("report: two files of the name %s", f.Name)
		}
		names[f.Name] = true
		list = append(list, f.Name)
	}
	if err := d.clearStale(list); err != nil {
		return err
	}
	for _, f := range files {
		if err := writeFile(filepath.Join(d.Path, f.Name), f.Data); err != nil {
			return err
		}
	}
	d.files = list
	if err := d.mark(complete); err != nil || !complete {
		return err
	}
	return d.clearPoints()
}

// File is a file of a directory of results.
type File struct {
	Name string
	Data []byte
}

// mark writes params.json.
func (d *Dir) mark(complete bool) error {
	p := d.meta.json()
	p.Complete = complete
	if d.files != nil {
		p.Files = d.files
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(p); err != nil {
		return err
	}
	d.Complete = complete
	return writeFile(filepath.Join(d.Path, paramsFile), b.Bytes())
}

// render makes all files of a report in memory.
func (d *Dir) render(r *Report, complete bool) ([]File, error) {
	var files []File
	data := dataOf(r)
	for _, f := range data {
		files = append(files, File{f.name + ".csv", f.csv()}, File{f.name + ".jsonl", f.jsonl()})
	}
	picture := newPicture()
	for _, f := range r.Figures {
		svg, err := f.svg(f.Title)
		if err != nil {
			return nil, err
		}
		png, err := f.png(picture)
		if err != nil {
			return nil, err
		}
		files = append(files, File{f.file() + ".png", png}, File{f.file() + ".svg", []byte(svg)})
	}
	if len(data) > 0 {
		schema, err := json.MarshalIndent(schemaOf(data), "", "  ")
		if err != nil {
			return nil, err
		}
		files = append(files, File{"schema.json", append(schema, '\n')})
	}
	html, err := pageOf(d.meta, r, complete, data)
	if err != nil {
		return nil, err
	}
	return append(files, File{"report.html", html}), nil
}
