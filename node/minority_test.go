package node_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// somebody returns the nodes of a process by its name, a letter: a, b, c and so on are lower than about any other process, z, y, x higher.
func somebody(name string) []ring.Ref {
	lowest, other := ring.ID{0: name[0] - 'a'}, ring.ID{0: 255, 1: name[0]}
	if name > "m" {
		lowest[0] = 254 - ('z' - name[0])
	}
	return []ring.Ref{{ID: other, Addr: name}, {ID: lowest, Addr: name}}
}

// TestStanding: what a process knows of its cluster after it has heard that others are alive (+), dead (-), stop (!) or have left (/), and half an hour has passed (~).
func TestStanding(t *testing.T) {
	for script, want := range map[string]node.Standing{
		"":                     {Alive: 1},
		"+a":                   {Alive: 2},
		"-a":                   {Alive: 1},                          // nobody knows him
		"+a -a":                {Alive: 1, Dead: 1, Minority: true}, // as many, and a is the lowest
		"+z -z":                {Alive: 1, Dead: 1},                 // as many, and the process itself is the lowest
		"+a +x +y -x -y":       {Alive: 2, Dead: 2},
		"+a +x +y -a -y":       {Alive: 2, Dead: 2, Minority: true},
		"+a +b +c +d -a -b":    {Alive: 3, Dead: 2},
		"+a +b +c +d -a -b -c": {Alive: 2, Dead: 3, Minority: true},
		"+a +a +b -a -a":       {Alive: 2, Dead: 1}, // said twice is said once
		"+a +b -a -b +a":       {Alive: 2, Dead: 1},
		"+a +b -a -b +a +b":    {Alive: 3},
		"+a +b +c /a /b /c":    {Alive: 1}, // who leaves in order gives up his seat
		"+a +b +c !a !b !c":    {Alive: 1}, // so does who stops for a while
		"+a +b +c -a /a":       {Alive: 3, Dead: 1},
		"+a +b -a -b +c":       {Alive: 2, Dead: 1}, // a newcomer takes the seat of a
		"+a +b -a -b +c +d":    {Alive: 3},
		"+a +b -a -b +c +b":    {Alive: 3},
		"+a +b -a -b +c +b +a": {Alive: 4},
		"+a +b -a ~ -b":        {Alive: 1, Dead: 2, Minority: true},
		"+a +z -a ~ -z ~":      {Alive: 1, Dead: 1}, // a is forgotten
		"+a +b -a ~ -b ~ ~":    {Alive: 1},
		"+a +b -a -b +a ~ ~":   {Alive: 2},
	} {
		t.Run(script, func(t *testing.T) {
			inCluster(t, 81, node.DefaultConfig(), func(c *cluster) {
				p := c.start(2)
				for _, step := range strings.Fields(script) {
					switch step[0] {
					case '+':
						p.HearAlive(c.t.Context(), somebody(step[1:]))
					case '-':
						p.HearDead(c.t.Context(), somebody(step[1:]))
					case '!':
						p.HearStopped(c.t.Context(), somebody(step[1:]))
					case '/':
						p.HearLeft(c.t.Context(), somebody(step[1:]))
					case '~':
						time.Sleep(30 * time.Minute)
					}
				}
				if got := p.Standing(); got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
			})
		})
	}
}

// parted is a ring of seven processes, three of which are cut off from the other four.
type parted struct {
	*cluster
	few, many []*process
}

// inParted runs f when all know each other by hearsay, and then all have heard of the cut.
func inParted(t *testing.T, cfg node.Config, f func(c *parted)) {
	t.Helper()
	inCluster(t, 82, cfg, func(c *cluster) {
		procs := c.bootstrap(7, 2)
		c.converge(10 * time.Second)
		for _, subject := range procs {
			tell(procs, func(p *process) { p.HearAlive(c.t.Context(), subject.Nodes()) })
		}
		p := &parted{c, procs[:3], procs[3:]}
		for i := range written {
			c.put(procs[0], fmt.Sprintf("before-%d", i), "the cut")
		}
		p.cut(fmt.Errorf("%w: partition", node.ErrUnreachable))
		p.each(func(p *process, subject []ring.Ref) { p.HearDead(c.t.Context(), subject) })
		f(p)
	})
}

// cut has all calls between the parts end with an error, or none if it is nil.
func (c *parted) cut(err error) {
	for _, a := range c.few {
		for _, b := range c.many {
			c.setFault(a.addr+">"+b.addr, err)
			c.setFault(b.addr+">"+a.addr, err)
		}
	}
}

// each calls hear for every process and all those of the other part.
func (c *parted) each(hear func(p *process, subject []ring.Ref)) {
	for _, a := range c.few {
		tell(c.many, func(p *process) { hear(p, a.Nodes()) })
	}
	for _, b := range c.many {
		tell(c.few, func(p *process) { hear(p, b.Nodes()) })
	}
}

func keyOf(p *process, i int) []byte { return fmt.Appendf(nil, "%s-%d", p.addr, i) }

// puts puts ten keys through each of the processes, and returns nil if every put ended with an error that wraps want, which nil means none.
func (c *parted) puts(procs []*process, level node.Level, want error) error {
	for _, p := range procs {
		for i := range 10 {
			op := node.Op{Kind: node.OpPut, Key: keyOf(p, i), Value: []byte("v"), Level: level}
			_, err := p.Do(c.t.Context(), op)
			if !errors.Is(err, want) || err != nil && errors.Is(err, node.ErrUnknown) {
				return fmt.Errorf("put %q at %v: got %w, want %w", op.Key, level, err, want)
			}
		}
	}
	return nil
}

// written is how many keys there are from before the cut.
const written = 40

// gets reads what was written before the cut: a key is found, or it is not denied.
func (c *parted) gets(p *process) error {
	found := 0
	for i := range written {
		r, err := p.Do(c.t.Context(), node.Op{Kind: node.OpGet, Key: fmt.Appendf(nil, "before-%d", i)})
		switch {
		case err == nil && r.Found:
			found++
		case !errors.Is(err, node.ErrMinority):
			return fmt.Errorf("get before-%d: found %v, error %w; want the value or %w", i, r.Found, err, node.ErrMinority)
		}
	}
	if found == 0 || found == written {
		return fmt.Errorf("found %d of %d keys; want some, and some that all replicas are gone of", found, written)
	}
	return nil
}

// TestMinorityRefusesWrites: the smaller part of a cut ring refuses writes by quorum, and changes nothing; it reads, but denies no key, and writes at level one. The larger part does
// everything. Both do when they have met.
func TestMinorityRefusesWrites(t *testing.T) {
	inParted(t, node.DefaultConfig(), func(c *parted) {
		c.eventually(20*time.Second, func() error { return c.puts(c.many, node.LevelQuorum, nil) })
		c.eventually(20*time.Second, func() error { return c.puts(c.many, node.LevelAll, nil) })
		for _, level := range []node.Level{node.LevelQuorum, node.LevelAll} {
			if err := c.puts(c.few, level, node.ErrMinority); err != nil {
				c.t.Error(err)
			}
		}
		for _, p := range c.all() {
			if v, err := p.store.Version(keyOf(c.few[0], 0)); err != nil || !v.IsZero() {
				c.t.Errorf("%s has version %v of a key that was refused, %v", p.addr, v, err)
			}
		}
		if err := c.puts(c.few, node.LevelOne, nil); err != nil {
			c.t.Error(err)
		}
		if err := c.gets(c.few[0]); err != nil {
			c.t.Error(err)
		}

		c.cut(nil)
		c.each(func(p *process, subject []ring.Ref) { p.HearAlive(c.t.Context(), subject) })
		c.converge(30 * time.Second)
		if err := c.puts(c.all(), node.LevelQuorum, nil); err != nil {
			c.t.Error(err)
		}
		for _, p := range c.many {
			c.wantValue(c.few[0], string(keyOf(p, 9)), "v")
		}
	})
}

// TestMinorityServes: a process refuses nothing where that was not asked for, when the dead are forgotten, or when nothing was heard at all.
func TestMinorityServes(t *testing.T) {
	serve := node.DefaultConfig()
	serve.ServeMinority = true
	forgetful := node.DefaultConfig()
	forgetful.ForgetDead = 10 * time.Second
	single := node.DefaultConfig()
	single.WriteQuorum, single.ReadQuorum = 1, 3
	for name, cfg := range map[string]node.Config{"serve": serve, "forget": forgetful, "W=1": single} {
		t.Run(name, func(t *testing.T) {
			inParted(t, cfg, func(c *parted) {
				c.eventually(20*time.Second, func() error { return c.puts(c.few, node.LevelQuorum, nil) })
			})
		})
	}
}

// TestHearDeadOfTheLivingIsNoLoss: whoever answers is not dead, whatever is said, so no false alarm puts his neighbors in the minority.
func TestHearDeadOfTheLivingIsNoLoss(t *testing.T) {
	inCluster(t, 83, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(5, 1)
		for _, subject := range procs {
			tell(procs, func(p *process) { p.HearAlive(c.t.Context(), subject.Nodes()) })
		}
		for _, subject := range procs[1:] {
			procs[0].HearDead(c.t.Context(), subject.Nodes())
			procs[0].HearStopped(c.t.Context(), subject.Nodes())
			procs[0].HearLeft(c.t.Context(), subject.Nodes())
		}
		if got, want := procs[0].Standing(), (node.Standing{Alive: 5}); got != want {
			c.t.Errorf("got %+v, want %+v", got, want)
		}
	})
}
