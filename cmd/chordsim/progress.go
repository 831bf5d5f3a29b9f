package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/chordkv/chord/sim/experiment"
)

// gauge is where a long command stands.
type gauge struct {
	done   float64 // 0 to 1; negative if the end is unknown
	where  string  // the virtual time, the point, the seed
	count  uint64  // of units so far
	suffix string  // a remark behind the figures
}

// progress shows how far a command is: on a terminal a bar, ten times a second, that vanishes when the command is done; elsewhere a plain
// line now and then. It asks for the state, so that the work itself does nothing for it.
type progress struct {
	w     io.Writer
	bar   bool
	label string
	unit  string // of count, plural
	width func() int
	read  func() gauge
	start time.Time

	quitOnce sync.Once
	quit     chan struct{}
	done     chan struct{}
}

// How often the bar is drawn anew, and how often a plain line is written: few in the log of a long run, none of a short one.
const (
	redrawEvery = 100 * time.Millisecond
	reportEvery = 15 * time.Second
)

// startProgress shows what read says until stop is called.
func (a *app) startProgress(label, unit string, read func() gauge) *progress {
	p := &progress{
		w: a.stderr, bar: a.stderrTTY, label: label, unit: unit, width: a.width, read: read, start: time.Now(),
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	if a.globals.noProgress || a.globals.quiet {
		close(p.done)
		return p
	}
	go p.loop()
	return p
}

func (p *progress) loop() {
	defer close(p.done)
	every := reportEvery
	if p.bar {
		every = redrawEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if p.bar {
				fmt.Fprint(p.w, "\r"+p.line(time.Since(p.start), p.read(), p.width())+"\x1b[K")
			} else {
				fmt.Fprintln(p.w, p.plain(time.Since(p.start), p.read()))
			}
		case <-p.quit:
			if p.bar {
				fmt.Fprint(p.w, "\r\x1b[K")
			}
			return
		}
	}
}

// stop ends the showing. It may be called more than once.
func (p *progress) stop() {
	p.quitOnce.Do(func() { close(p.quit) })
	<-p.done
}

// tail is what stands behind the bar.
func (p *progress) tail(elapsed time.Duration, g gauge) string {
	var parts []string
	if g.where != "" {
		parts = append(parts, g.where)
	}
	rate := 0.0
	if elapsed > 0 {
		rate = float64(g.count) / elapsed.Seconds()
	}
	parts = append(parts, fmt.Sprintf("%s %s, %s/s", experiment.GroupDigits(int64(g.count)), p.unit, experiment.GroupDigits(int64(rate))))
	if g.done > 0 && elapsed >= time.Second {
		left := time.Duration(float64(elapsed) * max(0, 1-g.done) / g.done).Round(time.Second)
		parts = append(parts, left.String()+" left")
	}
	return strings.Join(parts, ", ") + g.suffix
}

// line is the bar as text, at most width columns.
func (p *progress) line(elapsed time.Duration, g gauge, width int) string {
	head, tail := p.label+" ", " "+p.tail(elapsed, g)
	if g.done >= 0 {
		tail = fmt.Sprintf(" %3.0f%%%s", 100*min(g.done, 1), tail)
	}
	if room := width - 1 - len([]rune(head)) - len([]rune(tail)) - 2; g.done >= 0 && room >= 10 {
		head += bar(min(g.done, 1), min(room, 40))
	}
	line := []rune(head + tail)
	return string(line[:min(len(line), max(width-1, 0))])
}

// plain is the line for logs.
func (p *progress) plain(elapsed time.Duration, g gauge) string {
	if g.done < 0 {
		return p.label + ": " + p.tail(elapsed, g)
	}
	return fmt.Sprintf("%s: %.0f%%, %s", p.label, 100*min(g.done, 1), p.tail(elapsed, g))
}

func bar(part float64, width int) string {
	full := int(part * float64(width))
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", width-full) + "]"
}

// gaugeOf shows where the points of an experiment or a sweep stand.
func gaugeOf(p *experiment.Progress) gauge {
	s := p.Standing()
	g := gauge{done: s.Share, count: s.Events}
	if s.Expected > 1 {
		g.where = fmt.Sprintf("point %s of %s", experiment.GroupDigits(int64(s.Finished+1)), experiment.GroupDigits(int64(s.Expected)))
		if s.Finished == s.Expected {
			g.where = ""
		}
	}
	if s.Until > 0 {
		if g.where != "" {
			g.where += " at "
		}
		g.where += fmt.Sprintf("%v of %v", s.Now.Round(time.Second), s.Until)
	}
	return g
}
