package sim

import (
	"fmt"
	"slices"

	"github.com/chordkv/chord/ring"
)

// afterStep looks at what a step may have changed: the process where it happened, or, after a step of the harness, all.
func (c *Checker) afterStep(s Step) {
	if c.w == nil || c.found != nil {
		return
	}
	if s.To == Harness || len(c.w.Hosts()) != len(c.hosts) || c.w.running != c.running {
		c.scan()
		return
	}
	if c.look(s.To) {
		c.viewsChanged()
	}
	if c.armed && c.disturbed() {
		c.armed = false
	}
}

// disturbed reports whether something keeps messages from arriving.
func (c *Checker) disturbed() bool { return c.w.net.loss > 0 || c.w.net.cut }

// scan looks at all hosts: who started, who ended.
func (c *Checker) scan() {
	all := c.w.Hosts()
	ended, changed, stranger := false, false, false
	emptied := 0 // disks
	for i, h := range all {
		if i == len(c.hosts) {
			c.hosts = append(c.hosts, watched{ended: never})
		}
		k := &c.hosts[i]
		running, id := h.Running(), h.Identity()
		if k.running && (!running || k.id != id) {
			c.processEnded(i)
			ended, changed = true, true
		}
		if (k.id.Process != id.Process && k.id.Process != ([16]byte{}) || k.emptied != h.emptied()) && !k.left {
			emptied++
		}
		k.emptied = h.emptied()
		if running && !k.running {
			k.nodes = h.Process().Nodes()
			c.changes++
			stranger = stranger || k.ended == never || k.id.Process != id.Process
			if k.ended != never {
				c.disturb() // some may still take it for dead, however long it was away: they have called it in vain until now
			}
		}
		if running != k.running {
			changed = true
		}
		k.running, k.id, k.left = running, id, k.left && !running
		if c.look(i) {
			changed = true
		}
	}
	if emptied > 0 {
		c.copiesLost(emptied)
	}
	c.running = c.w.running
	if changed || !slices.Equal(c.parts, c.w.net.groups) {
		c.parts, c.cut = slices.Clone(c.w.net.groups), c.w.Now()
	}
	if c.running == 0 {
		c.gathering = true
	} else if ended || stranger || c.running >= c.cfg.Replicas {
		c.gathering = false
	}
	if changed {
		c.viewsChanged()
	}
}

// processEnded takes a process out of the ring.
func (c *Checker) processEnded(host int) {
	k := &c.hosts[host]
	for _, v := range k.views {
		c.oracle.Remove(c.w.Now(), v.Self)
	}
	k.views, k.running, k.ended = nil, false, c.w.Now()
	c.changes++
	c.failures++
	if !k.gone {
		c.ends++
	} else {
		k.gone, k.left = false, true
		if k.stable {
			c.checkHandOver(host)
		} else {
			c.copiesLost(1)
		}
	}
}

// look reads the views of a host's nodes and reports whether one changed.
func (c *Checker) look(host int) (changed bool) {
	k := &c.hosts[host]
	p := c.w.Host(host).Process()
	if p == nil || !k.running {
		return false
	}
	at := 0
	for _, n := range k.nodes {
		v, err := p.Neighbors(n.ID)
		if err != nil {
			continue // not a member yet
		}
		if at == len(k.views) {
			k.views = append(k.views, v)
			changed = true
		} else if !sameView(k.views[at], v) {
			c.checkSuccession(host, k.views[at], v)
			k.views[at] = v
			changed = true
		}
		at++
	}
	if at < len(k.views) {
		if at == 0 && c.oracle.Serves(k.views[0].Self) {
			// It served, and serves nothing any more: it has left.
			k.gone, k.stable = true, c.stable
			c.ends++
			for _, v := range k.views {
				c.oracle.Remove(c.w.Now(), v.Self)
			}
		}
		k.views = k.views[:at]
		changed = true
	}
	return changed
}

// checkSuccession: a node gives up a neighbor for one that is farther away only if that neighbor has ended. That is what compare-and-set is for. A node that does
// not serve yet may still be looking for its place.
func (c *Checker) checkSuccession(host int, was, is ring.View) {
	if !c.armed || !c.checks.Ring || was.Self != is.Self || !c.oracle.Serves(is.Self) {
		return
	}
	if len(was.Succs) > 0 && c.isMember(was.Succs[0]) {
		if old := was.Succs[0]; len(is.Succs) == 0 || ring.Between(is.Self.ID, old.ID, is.Succs[0].ID) {
			c.report(CheckSuccession, fmt.Sprintf("%v had the successor %v, which is alive, and now has %v", is.Self, old, is.Succs), host)
		}
	}
	if was.Pred != is.Self && c.isMember(was.Pred) && ring.Between(is.Pred.ID, was.Pred.ID, is.Self.ID) {
		c.report(CheckSuccession, fmt.Sprintf("%v had the predecessor %v, which is alive, and now has %v", is.Self, was.Pred, is.Pred), host)
	}
}

func sameView(a, b ring.View) bool {
	return a.Self == b.Self && a.Pred == b.Pred && slices.Equal(a.Succs, b.Succs)
}

// members returns the views of all members, until it is called again.
func (c *Checker) members() []ring.View {
	c.scratch = c.scratch[:0]
	for i := range c.hosts {
		if c.hosts[i].running {
			c.scratch = append(c.scratch, c.hosts[i].views...)
		}
	}
	return c.scratch
}

// viewsChanged evaluates the properties of the ring. A property that is broken may mean that failures broke an assumption of [Zave]: with the nodes went
// the last live entry of a list, or the base.
func (c *Checker) viewsChanged() {
	c.changed, c.stable = c.w.Now(), false
	if !c.checks.Ring || !c.armed {
		return // what holds always is checked by each node itself: CheckLocalState
	}
	broken := ring.CheckRing(c.members(), c.cfg.Successors)
	switch {
	case len(broken) == 0:
	case !c.bearable():
		c.armed = false
	default:
		c.report(string(broken[0].Property), broken[0].Witness, c.allRunning()...)
	}
	if c.armed {
		c.checkOwners()
	}
}

// checkOwners: the arcs of the nodes that serve do not overlap, so that each node's predecessor is the one that serves before it, or one behind that.
func (c *Checker) checkOwners() {
	serving := c.scratch[:0]
	for i := range c.hosts {
		for _, v := range c.hosts[i].views {
			if c.hosts[i].running && (c.oracle.Serves(v.Self) || c.servesUnannounced(i, v.Self)) {
				serving = append(serving, v)
			}
		}
	}
	c.scratch = serving
	slices.SortFunc(serving, func(a, b ring.View) int { return a.Self.ID.Compare(b.Self.ID) })
	for i, v := range serving {
		before := serving[(i+len(serving)-1)%len(serving)].Self
		if ring.Between(v.Pred.ID, before.ID, v.Self.ID) {
			a, _ := c.hostOf(before)
			b, _ := c.hostOf(v.Self)
			c.report(CheckOwners, fmt.Sprintf("%v answers for its arc, and so does %v, whose arc %v is a part of", before, v.Self, v.Arc()), a, b)
			return
		}
	}
}

// servesUnannounced reports whether a node answers for its arc although its process has not said that it joined.
func (c *Checker) servesUnannounced(host int, n ring.Ref) bool {
	for _, s := range c.w.Host(host).Process().Status().Nodes {
		if s.View.Self == n {
			return s.Serving
		}
	}
	return false
}

// bearable reports whether the assumptions of [Zave] must hold after the failures that there were since the ring was ideal: fewer than r leave a live entry
// in every list, and of an ideal ring every member is a principal, which only its own failure can end.
func (c *Checker) bearable() bool {
	return c.ends < c.cfg.Successors && c.idealSize-c.ends > c.cfg.Successors
}

func (c *Checker) allRunning() []int {
	const enough = 20
	var hosts []int
	for i := range c.hosts {
		if c.hosts[i].running && len(hosts) < enough {
			hosts = append(hosts, i)
		}
	}
	return hosts
}

// tick looks whether the ring has come to rest, which arms the checks that need it, and counts copies.
func (c *Checker) tick() {
	if c.found != nil {
		return
	}
	if c.armed && c.ends > 0 && c.ideal() == nil {
		c.ends, c.idealSize = 0, len(c.members())
		c.armed = c.idealSize > c.cfg.Successors // or there is no base any more
	}
	quiet := !c.disturbed() && c.w.Now()-c.calm > c.cfg.SuspectTime+2*c.cfg.RingTimeout
	if quiet && (!c.armed || !c.stable) {
		ideal := c.ideal() == nil
		if ideal && !c.armed && len(c.members()) > c.cfg.Successors {
			c.armed, c.armedFrom, c.complete = true, c.w.Now(), false
			c.ends, c.idealSize = 0, len(c.members())
		}
		if ideal && !c.stable && c.settled() == nil {
			c.stable, c.since, c.changes, c.failures = true, c.w.Now(), 0, 0
		}
	}
	if c.checks.Data && c.armed && !c.complete && c.stable && c.placed() == nil {
		c.complete = true
	}
	if c.disturbed() {
		c.armed, c.stable = false, false
	}
	if c.checks.Data {
		c.countCopies()
	}
}

// ideal returns nil if the ring of all processes that run is ideal.
func (c *Checker) ideal() error {
	for i, h := range c.w.Hosts() {
		if h.Running() && !h.Ready() {
			return fmt.Errorf("%s is not a member", c.w.Host(i).Addr())
		}
	}
	return ring.CheckIdeal(c.members(), c.cfg.Successors)
}

// settled returns nil if all arcs are settled.
func (c *Checker) settled() error {
	for i := range c.hosts {
		if !c.hosts[i].running {
			continue
		}
		for _, n := range c.w.Host(i).Process().Status().Nodes {
			if !n.Settled || !n.Serving {
				return fmt.Errorf("%v is not settled", n.View.Self)
			}
		}
	}
	return nil
}
