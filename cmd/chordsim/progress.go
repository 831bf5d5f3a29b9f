package main

import (
	"fmt"
	"time"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/sim/experiment"
)

// startProgress shows what read says until it is stopped: as a bar on a terminal, elsewhere as a line now and then.
func (a *app) startProgress(label, unit string, read func() cli.Gauge) *cli.Progress {
	switch {
	case a.globals.noProgress || a.globals.quiet:
		return cli.StartLines(nil, label, unit, read)
	case a.stderrTTY:
		return cli.StartBar(a.stderr, a.width, label, unit, read)
	}
	return cli.StartLines(a.stderr, label, unit, read)
}

// gaugeOf shows where the points of an experiment or a sweep stand.
func gaugeOf(p *experiment.Progress) cli.Gauge {
	s := p.Standing()
	g := cli.Gauge{Done: s.Share, Count: int64(s.Events)}
	if s.Expected > 1 {
		g.Where = fmt.Sprintf("point %s of %s", cli.GroupDigits(int64(s.Finished+1)), cli.GroupDigits(int64(s.Expected)))
		if s.Finished == s.Expected {
			g.Where = ""
		}
	}
	if s.Until > 0 {
		if g.Where != "" {
			g.Where += " at "
		}
		g.Where += fmt.Sprintf("%v of %v", s.Now.Round(time.Second), s.Until)
	}
	return g
}
