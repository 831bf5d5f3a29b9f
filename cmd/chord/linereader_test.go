package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestLineReader(t *testing.T) {
	long := strings.Repeat("x", 300<<10) // longer than the reader's buffer
	text := "one\n\nthree\r\n" + long + "\n" + strings.Repeat("y", 400<<10) + "\nsix\nlast"
	type got struct {
		line   string
		number int64
		err    error
	}
	want := []got{
		{"one", 1, nil}, {"", 2, nil}, {"three\r", 3, nil}, {long, 4, nil}, {"", 5, errLineTooLong}, {"six", 6, nil}, {"last", 7, nil}, {"", 8, io.EOF},
	}
	for name, source := range map[string]io.Reader{"whole": strings.NewReader(text), "dribble": iotest.HalfReader(strings.NewReader(text))} {
		r := newLineReader(source, lineRef{Line: 1}, len(long))
		for _, w := range want {
			line, at, err := r.read()
			if string(line) != w.line || at.Line != w.number || !errors.Is(err, w.err) {
				t.Fatalf("%s: got line %d of %d bytes, error %v; want line %d of %d bytes, error %v",
					name, at.Line, len(line), err, w.number, len(w.line), w.err)
			}
			if err == nil && !strings.HasPrefix(text[at.Offset:], w.line) {
				t.Fatalf("%s: line %d does not begin at offset %d", name, at.Line, at.Offset)
			}
		}
	}
}

func TestLineReaderReportsReadErrors(t *testing.T) {
	broken := errors.New("disk on fire")
	r := newLineReader(io.MultiReader(strings.NewReader("one\ntw"), iotest.ErrReader(broken)), lineRef{Line: 1}, 100)
	if _, _, err := r.read(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.read(); !errors.Is(err, broken) || !strings.Contains(err.Error(), "line 2") {
		t.Fatalf("got %v, want line 2: %v", err, broken)
	}
}
