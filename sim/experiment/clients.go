package experiment

import (
	"context"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// clients are who reads and writes in an experiment that follows a script, which is a task of the harness.
type clients struct {
	w      *sim.World
	chance *sim.Rand
}

// How many operations are under way at a time when all keys are read or written, and how long one may take.
const (
	clientsAtOnce = 32
	clientTimeout = 10 * time.Second
)

// inRing makes an ideal ring of so many processes and executes what script returns for its clients, until that ends or ctx does.
func inRing(ctx context.Context, at *Point, o sim.Options, nodes int, script func(c clients) func()) error {
	var world *sim.World
	o.AfterStep = func(s sim.Step) {
		if s.Seq%(1<<16) == 0 {
			at.At(s.At, s.Seq)
		}
		if s.Seq%(1<<10) == 0 && ctx.Err() != nil {
			world.Fail(ctx.Err())
		}
	}
	return inWorld(o, func(w *sim.World) error {
		world = w
		if err := w.Bootstrap(nodes); err != nil {
			return err
		}
		return w.Exec(script(clients{w, w.Rand("clients")}))
	})
}

// any returns one of the hosts at random.
func (c clients) any(hosts []*sim.Host) *sim.Host { return hosts[c.chance.IntN(len(hosts))] }

// each calls f for 0 to n-1, several at a time.
func (c clients) each(n int, f func(i int)) {
	c.w.Gather(clientsAtOnce, func(client int) {
		for i := client; i < n; i += clientsAtOnce {
			f(i)
		}
	})
}

// do executes an operation at a host.
func (c clients) do(host *sim.Host, op node.Op) (r node.Result, err error) {
	if ended := host.Call(func() {
		ctx, cancel := c.w.WithTimeout(context.Background(), clientTimeout)
		defer cancel()
		r, err = host.Process().Do(ctx, op)
	}); ended != nil {
		return r, ended
	}
	return r, err
}

// wait waits until the hosts are one ideal ring and returns how long that took; negative if it was longer than limit.
func (c clients) wait(hosts []*sim.Host, limit time.Duration) time.Duration {
	begin := c.w.Now()
	if !c.w.WaitFor(func() bool { return ideal(hosts) }, time.Second, limit) {
		return -1
	}
	return c.w.Now() - begin
}

// ideal reports whether the processes of the hosts are one ring in which every pointer is right.
func ideal(hosts []*sim.Host) bool {
	var views []ring.View
	r := 0
	for _, h := range hosts {
		for _, n := range h.Process().Status().Nodes {
			views = append(views, n.View)
		}
	}
	for _, v := range views {
		r = max(r, len(v.Succs))
	}
	return ring.CheckIdeal(views, r) == nil
}
