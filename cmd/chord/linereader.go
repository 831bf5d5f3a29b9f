package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// lineReader reads lines and knows where each begins.
type lineReader struct {
	r    *bufio.Reader
	max  int // bytes of a line
	buf  []byte
	line int64 // lines read
	next int64 // offset of the byte behind the last line read
}

// errLineTooLong: the line cannot hold a key and a value within the limits.
var errLineTooLong = errors.New("line too long")

func newLineReader(r io.Reader, at lineRef, maxLine int) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 256<<10), max: maxLine, line: at.Line - 1, next: at.Offset}
}

// maxLineBytes is the longest line that can hold a pair within the limits: in JSON a byte becomes six at worst.
func maxLineBytes(l limits) int { return 6*(l.keyBytes+l.valueBytes) + 4096 }

// read returns the next line without its newline, and where it began; the line is valid until the next call. errLineTooLong
// leaves the reader behind the line; io.EOF is the end.
func (r *lineReader) read() (line []byte, at lineRef, err error) {
	at = lineRef{Line: r.line + 1, Offset: r.next}
	r.buf = r.buf[:0]
	tooLong := false
	for {
		part, err := r.r.ReadSlice('\n')
		r.next += int64(len(part))
		if tooLong = tooLong || len(r.buf)+len(part) > r.max+1; !tooLong {
			r.buf = append(r.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && r.next == at.Offset:
			return nil, at, io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return nil, at, fmt.Errorf("line %d: %w", at.Line, err)
		}
		r.line++
		if tooLong {
			return nil, at, errLineTooLong
		}
		if n := len(r.buf); n > 0 && r.buf[n-1] == '\n' {
			return r.buf[:n-1], at, nil
		}
		return r.buf, at, nil // the last line of a file may lack its newline
	}
}
