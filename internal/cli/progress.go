package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Gauge is where a long command stands.
type Gauge struct {
	Done   float64 // 0 to 1; negative if the end is unknown
	Where  string  // a place for people, before the figures: the virtual time, the point, the seed; may be empty
	Count  int64   // of units so far
	Suffix string  // a remark behind the figures, such as failures; may be empty
}

// Progress shows how far a command is, at what rate it goes on, and how long it may still take, until it is stopped. It asks for the
// state, so that the work itself does nothing for it.
type Progress struct {
	w     io.Writer
	label string
	unit  string // of Count, plural
	read  func() Gauge
	start time.Time
	first Gauge // at the start, which a resumed command does not begin at 0 with

	quitOnce sync.Once
	quit     chan struct{}
	done     chan struct{}
}

// How often the bar is drawn anew, quick enough for the eye, and how often a line is written: few in the log of a long run, none of a
// short one.
const (
	redrawEvery = 100 * time.Millisecond
	reportEvery = 15 * time.Second
)

// StartBar draws a bar on a terminal of so many columns, which Stop removes. With a nil writer it draws nothing.
func StartBar(w io.Writer, width func() int, label, unit string, read func() Gauge) *Progress {
	p := newProgress(w, label, unit, read)
	draw := func() { fmt.Fprint(w, "\r"+p.bar(time.Since(p.start), p.read(), width())+"\x1b[K") }
	return p.every(redrawEvery, draw, func() { fmt.Fprint(w, "\r\x1b[K") })
}

// StartLines writes a line now and then, for logs. With a nil writer it writes nothing.
func StartLines(w io.Writer, label, unit string, read func() Gauge) *Progress {
	p := newProgress(w, label, unit, read)
	return p.every(reportEvery, func() { fmt.Fprintln(w, p.line(time.Since(p.start), p.read())) }, func() {})
}

func newProgress(w io.Writer, label, unit string, read func() Gauge) *Progress {
	return &Progress{
		w: w, label: label, unit: unit, read: read, start: time.Now(), first: read(),
		quit: make(chan struct{}), done: make(chan struct{}),
	}
}

// every shows p at intervals until Stop is called, and cleans up then.
func (p *Progress) every(interval time.Duration, show, cleanUp func()) *Progress {
	if p.w == nil {
		close(p.done)
		return p
	}
	go func() {
		defer close(p.done)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				show()
			case <-p.quit:
				cleanUp()
				return
			}
		}
	}()
	return p
}

// Stop ends the showing. It may be called more than once.
func (p *Progress) Stop() {
	p.quitOnce.Do(func() { close(p.quit) })
	<-p.done
}

// bar is the state as a bar, at most width columns.
func (p *Progress) bar(elapsed time.Duration, g Gauge, width int) string {
	head, tail := p.label+" ", " "+p.figures(elapsed, g)
	if g.Done >= 0 {
		tail = fmt.Sprintf(" %3.0f%%%s", 100*min(g.Done, 1), tail)
	}
	if room := width - 1 - len([]rune(head)) - len([]rune(tail)) - 2; g.Done >= 0 && room >= 10 {
		room = min(room, 40)
		full := int(min(g.Done, 1) * float64(room))
		head += "[" + strings.Repeat("=", full) + strings.Repeat(" ", room-full) + "]"
	}
	text := []rune(head + tail)
	return string(text[:min(len(text), max(width-1, 0))])
}

// line is the state as a line of a log.
func (p *Progress) line(elapsed time.Duration, g Gauge) string {
	if g.Done < 0 {
		return p.label + ": " + p.figures(elapsed, g)
	}
	return fmt.Sprintf("%s: %.0f%%, %s", p.label, 100*min(g.Done, 1), p.figures(elapsed, g))
}

// figures are where the command is, how much it has done and how fast, and the rest of the time by what this run has done.
func (p *Progress) figures(elapsed time.Duration, g Gauge) string {
	var parts []string
	if g.Where != "" {
		parts = append(parts, g.Where)
	}
	rate := 0.0
	if elapsed > 0 {
		rate = float64(g.Count-p.first.Count) / elapsed.Seconds()
	}
	parts = append(parts, fmt.Sprintf("%s %s, %s/s", GroupDigits(g.Count), p.unit, GroupDigits(int64(rate))))
	if moved := g.Done - p.first.Done; g.Done >= 0 && moved > 0 && elapsed >= time.Second {
		left := time.Duration(float64(elapsed) * max(0, 1-g.Done) / moved).Round(time.Second)
		parts = append(parts, left.String()+" left")
	}
	return strings.Join(parts, ", ") + g.Suffix
}
