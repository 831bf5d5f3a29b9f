package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// gauge is where a long command stands.
type gauge struct {
	done   float64 // 0 to 1; negative if the end is unknown
	count  int64   // of units so far
	suffix string  // a remark behind the figures, such as failures
}

// progress draws a bar, a rate and the time that is left on a terminal, until it is stopped. It asks for the state ten times a second,
// so that the work itself does nothing for it.
type progress struct {
	w     io.Writer
	label string
	unit  string // of count, plural
	width func() int
	read  func() gauge
	start time.Time
	first gauge // at the start, which a resumed command does not begin at 0 with

	stopOnce sync.Once
	quit     chan struct{}
	done     chan struct{}
}

// redrawEvery is quick enough for the eye.
const redrawEvery = 100 * time.Millisecond

// startProgress draws until stop is called. With a nil writer it draws nothing.
func startProgress(w io.Writer, label, unit string, width func() int, read func() gauge) *progress {
	p := &progress{
		w: w, label: label, unit: unit, width: width, read: read, start: time.Now(), first: read(),
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	if w == nil {
		close(p.done)
		return p
	}
	go p.loop()
	return p
}

func (p *progress) loop() {
	defer close(p.done)
	tick := time.NewTicker(redrawEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			fmt.Fprint(p.w, "\r"+p.line(time.Since(p.start), p.read(), p.width())+"\x1b[K")
		case <-p.quit:
			fmt.Fprint(p.w, "\r\x1b[K")
			return
		}
	}
}

// stop removes the bar. It may be called more than once.
func (p *progress) stop() {
	p.stopOnce.Do(func() { close(p.quit) })
	<-p.done
}

// line is the bar as text, at most width columns.
func (p *progress) line(elapsed time.Duration, g gauge, width int) string {
	rate := 0.0
	if elapsed > 0 {
		rate = float64(g.count-p.first.count) / elapsed.Seconds()
	}
	tail := fmt.Sprintf(" %s %s, %s/s", groupDigits(g.count), p.unit, groupDigits(int64(rate)))
	if g.done >= 0 {
		tail = fmt.Sprintf(" %3.0f%%%s", 100*min(g.done, 1), tail)
		if left, ok := p.left(elapsed, g); ok {
			tail += ", " + left.String() + " left"
		}
	}
	tail += g.suffix
	head := p.label + " "
	if room := width - 1 - len([]rune(head)) - len([]rune(tail)) - 2; g.done >= 0 && room >= 10 {
		head += bar(min(g.done, 1), min(room, 40))
	}
	line := []rune(head + tail)
	return string(line[:min(len(line), max(width-1, 0))])
}

// left estimates the rest of the time from what this run has done.
func (p *progress) left(elapsed time.Duration, g gauge) (time.Duration, bool) {
	moved := g.done - p.first.done
	if moved <= 0 || elapsed < time.Second {
		return 0, false
	}
	return time.Duration(float64(elapsed) * max(0, 1-g.done) / moved).Round(time.Second), true
}

func bar(part float64, width int) string {
	full := int(part * float64(width))
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", width-full) + "]"
}
