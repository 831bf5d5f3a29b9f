package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/chordkv/chord/internal/cli"
)

// input is the file of an import, or standard input.
type input struct {
	io.Reader
	name  string
	file  *os.File // nil if it cannot be read twice
	print fingerprint
	close func() error
}

func (a *app) openInput(path string) (*input, error) {
	if path == "-" {
		return &input{Reader: a.stdin, name: "standard input", print: fingerprint{Size: -1}, close: func() error { return nil }}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, cli.Usagef("import: %v", err)
		}
		return nil, fmt.Errorf("import: %w", err)
	}
	in := &input{Reader: f, name: path, print: fingerprint{Size: -1}, close: f.Close}
	st, err := f.Stat()
	if err == nil && st.IsDir() {
		err = cli.Usagef("import: %s is a directory", path)
	}
	if err == nil && st.Mode().IsRegular() {
		in.file = f
		in.print, err = takeFingerprint(f)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return in, nil
}

// detect tells the format from the first line that is not blank, and leaves the input where it was.
func (in *input) detect(maxLine int) (lineFormat, error) {
	var head bytes.Buffer
	source := in.Reader
	r := newLineReader(io.TeeReader(source, &head), lineRef{Line: 1}, maxLine)
	defer func() {
		if in.file != nil {
			in.rewind()
			return
		}
		in.Reader = io.MultiReader(&head, source)
	}()
	for {
		line, at, err := r.read()
		if errors.Is(err, io.EOF) {
			return formatTSV, nil // there is no line
		}
		if err == nil && len(line) == 0 {
			continue
		}
		var format lineFormat
		if err == nil {
			format, err = detectFormat(line)
		}
		if err != nil {
			return "", cli.Usagef("%s: line %d: %v", in.name, at.Line, err)
		}
		return format, nil
	}
}

func (in *input) rewind() {
	// The file was read from its start a moment ago; if it cannot be again, the next read says so.
	_, _ = in.file.Seek(0, io.SeekStart)
}

// skipTo moves to an offset.
func (in *input) skipTo(offset int64) error {
	if in.file != nil {
		_, err := in.file.Seek(offset, io.SeekStart)
		return err
	}
	_, err := io.CopyN(io.Discard, in, offset)
	if errors.Is(err, io.EOF) {
		return cli.Usagef("%s ends before the place to resume at", in.name)
	}
	return err
}

// part is how far into the input an offset is; -1 if its size is unknown.
func (in *input) part(offset int64) float64 {
	if in.print.Size <= 0 {
		return -1
	}
	return float64(offset) / float64(in.print.Size)
}
