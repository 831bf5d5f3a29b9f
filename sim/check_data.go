package sim

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// keyHistory is what clients know of a key, by what they were told.
type keyHistory struct {
	key   []byte
	id    ring.ID
	acked acked // the newest write that was acknowledged, at any level
	exact acked // the newest that was acknowledged by a quorum
	seen  acked // the newest version that a read in the present stable time has returned

	touched  time.Duration   // when a write of it began or ended last
	copies   int             // that must be on disks of acked, or of something newer
	lost     bool            // with disks, more of them than the promise covers
	unknown  []time.Duration // when deletes began of which nobody knows whether they have taken effect
	writes   map[uint64]*written
	versions map[node.Version]*written
	counter  counter
	lives    lives
	swapped  map[node.Version]node.Version // of conditional writes in a stable ring: what was expected and what took its place
}

// acked is a version that a client was told.
type acked struct {
	version node.Version
	deleted bool
	begin   time.Duration // of the operation
	end     time.Duration
	ends    int64 // when it expires, in milliseconds since 1970; 0 for never, -1 for nobody knows
}

// written is a value that was put.
type written struct {
	refused bool   // reported as not applied
	kind    string // of the operation
	ttl     time.Duration
	begin   time.Duration // of the operation
	version node.Version  // under which it was seen or acknowledged first
}

// begun is what an operation must not fall behind, from when it began.
type begun struct {
	exact     acked
	seen      acked
	stable    bool
	since     time.Duration // of the stable time
	kept      bool          // what was acknowledged must be found, and written above
	from      time.Duration // armed since
	gathering bool
	count     int64 // the highest number of an increment in the stable time
	forgets   bool
}

// fullyCopied is how long a ring is stable before it must answer for what was acknowledged before: by then the processes that had
// received records out of their place have swept them there.
const fullyCopied = time.Minute

var valueSeed = maphash.MakeSeed()

func hashOf(value []byte) uint64 { return maphash.Bytes(valueSeed, value) }

func (c *Checker) history(key []byte) *keyHistory {
	k, ok := c.keys[string(key)]
	if !ok {
		k = &keyHistory{key: key, id: ring.Hash(key), writes: make(map[uint64]*written), versions: make(map[node.Version]*written)}
		c.keys[string(key)] = k
		c.sorted = append(c.sorted, k)
	}
	return k
}

// Begin tells the checker that an operation begins.
func (c *Checker) Begin(op *Operation) {
	if !c.checks.Data || op.Key == nil {
		return
	}
	k := c.history(op.Key)
	if op.Kind != OpGet {
		k.touched = c.w.Now()
	}
	k.lives.began(op)
	if op.ends() {
		k.unknown = append(k.unknown, op.Begin)
	}
	if h := hashOf(op.Value); op.puts() && k.writes[h] == nil {
		k.writes[h] = &written{begin: c.w.Now(), kind: op.Kind, ttl: op.TTL}
	}
	if op.Kind == OpIncr {
		k.counter.begun++
	}
	b := &begun{
		exact: k.exact, stable: c.stable, since: c.since, kept: c.kept(), from: c.armedFrom, gathering: c.gathering, forgets: c.forgets(k),
		count: k.counter.given(c.since),
	}
	if c.stable && k.seen.begin >= c.since {
		b.seen = k.seen
	}
	c.begun[op.Number] = b
}

// kept reports whether whoever owns a key must know what was acknowledged: all copies were in their places, the ring's assumptions have held since, and so
// few processes have come and gone since its arcs were settled that a copy is left, among those whom an owner asks that is not settled.
func (c *Checker) kept() bool {
	return c.armed && c.complete && c.failures < c.cfg.WriteQuorum && c.changes <= c.cfg.Replicas
}

// End tells the checker how an operation ended.
func (c *Checker) End(op *Operation) {
	if c.found != nil {
		return
	}
	if op.Kind == OpLookup {
		c.checkLookup(op)
		return
	}
	if !c.checks.Data {
		return
	}
	k, b := c.history(op.Key), c.begun[op.Number]
	delete(c.begun, op.Number)
	if op.Kind != OpGet {
		k.touched = c.w.Now()
	}
	if i := slices.Index(k.unknown, op.Begin); op.ends() && op.Outcome != Unknown && op.Outcome != Aborted && i >= 0 {
		k.unknown = slices.Delete(k.unknown, i, i+1)
	}
	switch {
	case b == nil:
	case op.Kind == OpGet:
		c.checkRead(k, op, b)
	case op.Outcome == Done:
		c.checkWrite(k, op, b)
	case op.Outcome == Failed && op.puts():
		k.writes[hashOf(op.Value)].refused = true
	}
}

// checkLookup: a lookup does not give up, and the owner that it found was the owner at some moment since it began.
func (c *Checker) checkLookup(op *Operation) {
	if !c.checks.Lookups || !c.armed || c.armedFrom > op.Begin {
		return
	}
	if errors.Is(op.Err, node.ErrNoRoute) {
		c.report(CheckLookup, fmt.Sprintf("%s looked %s up and found no way: %v", addrOf(op.From), op.ID.Short(), op.Err), op.From)
	}
	if op.Outcome == Wrong {
		want, _ := c.oracle.Owner(op.ID)
		a, _ := c.hostOf(op.Owner)
		b, _ := c.hostOf(want)
		c.report(CheckLookup, fmt.Sprintf("%s looked %s up and found %v, which was not the owner at any time since %v; %v is",
			addrOf(op.From), op.ID.Short(), op.Owner, op.Begin, want), op.From, a, b)
	}
}

// checkWrite: whoever acknowledges a write has it, and so have enough others.
func (c *Checker) checkWrite(k *keyHistory, op *Operation, b *begun) {
	v := op.Result.Version
	level := op.Level
	need := c.need(level)
	now := acked{v, op.Kind == OpDelete, op.Begin, c.w.Now(), 0}
	if end, ok := endOf(op); ok {
		now.ends = end
	} else if k.lives.used {
		now.ends = -1
	}
	if op.puts() {
		w := k.writes[hashOf(op.Value)]
		if other, ok := k.versions[v]; ok && other != w {
			c.report(CheckValue, fmt.Sprintf("two writes of %q were given the version %v", op.Key, v), op.From)
			return
		}
		k.versions[v] = w
		if !c.checkOnce(w, op) {
			return
		}
	}
	if need > 1 && !c.checkMinority(op) {
		return
	}
	if level != node.LevelOne && b.kept && c.kept() && c.armedFrom == b.from && b.exact.version.Newer(v) {
		c.report(CheckOrder, fmt.Sprintf("%s of %q was acknowledged with version %v, but %v was acknowledged at %v, before it began", op.Kind, op.Key, v,
			b.exact.version, b.exact.end), append(c.groupHosts(k), op.From)...)
		return
	}
	if c.durable() && c.now()-c.lastLoss > op.Latency() {
		holders := c.takers(k, v, b)
		owner, ok := c.hostOf(op.Result.Owner)
		// An owner that is none any more by the time that its answer arrives may have dropped its copy, after N others confirmed theirs.
		swept := len(holders) >= c.cfg.Replicas
		if len(holders) < need || ok && !swept && indexOf(holders, owner) < 0 {
			c.report(CheckAck, fmt.Sprintf("%s of %q with version %v was acknowledged by %v with %d acks at level %v, but only %s have it",
				op.Kind, op.Key, v, op.Result.Owner, op.Result.Acks, level, addrsOf(holders)), owner)
			return
		}
	}
	if !c.checkClock(op) || !c.checkEnd(k, op) || !c.checkChange(k, op, b) {
		return
	}
	if v.Newer(k.acked.version) {
		k.acked, k.copies, k.lost = now, need, false
	}
	if level != node.LevelOne && v.Newer(k.exact.version) {
		k.exact = now
	}
}

// told is how long after a cut a process may acknowledge what it should not: by then gossip has told it who is gone.
const told = 30 * time.Second

// checkMinority: an owner that hears only of fewer than half of the processes, and was told so, refuses writes by quorum.
func (c *Checker) checkMinority(op *Operation) bool {
	g := &c.w.gossip
	owner, ok := c.hostOf(op.Result.Owner)
	if !ok || !g.On || g.Wrong > 0 || g.Late > 0 || c.cfg.ServeMinority || op.Begin-c.cut < told || c.now()-c.cut >= c.cfg.ForgetDead {
		return true
	}
	part := 0
	for i := range c.hosts {
		if c.hosts[i].running && at(c.parts, int32(i)) == at(c.parts, int32(owner)) {
			part++
		}
	}
	if 2*part >= c.running {
		return true
	}
	c.report(CheckMinority, fmt.Sprintf("%s of %q was acknowledged by %v, which reaches %d of %d processes since %v", op.Kind, op.Key, op.Result.Owner,
		part, c.running, c.cut), owner)
	return false
}

// checkOnce: what a write left is always of the same version. One that was repeated and executed anew would take the place of what was written in between.
func (c *Checker) checkOnce(w *written, op *Operation) bool {
	v := op.Result.Version
	if w.version.IsZero() {
		w.version = v
	}
	if v != w.version && c.armed && c.armedFrom <= w.begin {
		c.report(CheckOnce, fmt.Sprintf("%s of %q shows version %v of a write that was of version %v before", op.Kind, op.Key, v, w.version), op.From)
		return false
	}
	return true
}

// checkClock: versions of one process grow, those of different keys too, and whether or not it was started anew.
func (c *Checker) checkClock(op *Operation) bool {
	v := op.Result.Version
	latest := c.latest[v.Origin]
	switch {
	case v.Newer(latest.version):
		c.latest[v.Origin] = acked{version: v, begin: op.Begin, end: c.w.Now()}
	case latest.end < op.Begin:
		c.report(CheckClock, fmt.Sprintf("%s of %q was acknowledged with version %v, but the same process had given %v, acknowledged at %v, before it began", op.Kind, op.Key, v,
			latest.version, latest.end), op.From)
		return false
	}
	return true
}

// durable reports whether what is acknowledged is synced.
func (c *Checker) durable() bool { return c.w.options.SyncInterval == 0 }

// need returns how many replicas must have a write of a level.
func (c *Checker) need(l node.Level) int {
	switch l {
	case node.LevelOne:
		return 1
	case node.LevelAll:
		return c.cfg.Replicas
	}
	return c.cfg.WriteQuorum
}

// checkRead: a read returns what somebody wrote, and not less than it must.
func (c *Checker) checkRead(k *keyHistory, op *Operation, b *begun) {
	if op.Outcome != Done {
		return
	}
	r := &op.Result
	if !c.checkLife(k, op) {
		return
	}
	if r.Found {
		w := k.writes[hashOf(r.Value)]
		if w == nil {
			c.report(CheckValue, fmt.Sprintf("get of %q returned a value that nobody put there: %.40q", op.Key, r.Value), op.From)
			return
		}
		if other, ok := k.versions[r.Version]; ok && other != w {
			c.report(CheckValue, fmt.Sprintf("get of %q returned the value of another write than that of its version %v", op.Key, r.Version), op.From)
			return
		}
		if w.refused {
			c.report(CheckRefused, fmt.Sprintf("get of %q returned a value whose put was reported as not applied, version %v", op.Key, r.Version), op.From)
			return
		}
		if !k.lives.touched && !c.checkOnce(w, op) {
			return
		}
	}
	if op.Level == node.LevelOne || k.lost || c.cfg.ReadQuorum+c.cfg.WriteQuorum <= c.cfg.Replicas {
		return
	}
	op.Judged, op.Stale = true, b.exact.version.Newer(r.Version) && (r.Found || !b.forgets && !c.forgets(k))
	if b.stable && c.stable && c.since == b.since {
		least := b.seen
		if (b.exact.begin >= b.since || op.Begin-b.since >= fullyCopied) && b.exact.version.Newer(least.version) {
			least = b.exact
		}
		if least.version.Newer(r.Version) && (r.Found || !b.forgets && !c.forgets(k)) {
			c.stale(op, least)
			return
		}
		if k.seen.begin < c.since || r.Version.Newer(k.seen.version) {
			k.seen = acked{version: r.Version, deleted: !r.Found, begin: op.Begin, end: c.w.Now()}
		}
		if n := c.spread(k, r.Version); n <= c.cfg.Replicas-c.cfg.ReadQuorum && (r.Found || !b.forgets && !c.forgets(k)) {
			c.report(CheckSpread, fmt.Sprintf("get of %q returned version %v, which only %d replicas have", op.Key, r.Version, n), c.groupHosts(k)...)
			return
		}
	}
	kept := b.kept && c.kept() && c.armedFrom == b.from || b.gathering && c.gathering
	if kept && b.exact.version.Newer(r.Version) && !r.Found && !b.exact.deleted && !b.forgets && !c.forgets(k) {
		c.report(CheckDenied, fmt.Sprintf("get of %q was answered with nothing, version %v, although %v was acknowledged at %v", op.Key, r.Version,
			b.exact.version, b.exact.end), append(c.groupHosts(k), op.From)...)
	}
}

// spread returns how many replicas of a key have a version of it, or a newer one, synced or not: all of them if there is none.
func (c *Checker) spread(k *keyHistory, v node.Version) (n int) {
	for _, i := range c.groupHosts(k) {
		if have, err := c.w.Host(i).Store().Version(k.key); err == nil && !v.Newer(have) {
			n++
		}
	}
	return n
}

func (c *Checker) stale(op *Operation, least acked) {
	check := CheckStale
	if least.deleted && op.Result.Found {
		check = CheckDeleted
	}
	k := c.history(op.Key)
	c.report(check, fmt.Sprintf("get of %q, begun at %v in a ring that is stable since %v, returned version %v, but %v was known since %v; holders now: %s",
		op.Key, op.Begin, c.since, op.Result.Version, least.version, least.end, addrsOf(c.holders(k, least.version))), append(c.groupHosts(k), op.From)...)
}

func (c *Checker) groupHosts(k *keyHistory) []int {
	var hosts []int
	for _, r := range c.oracle.Group(k.id, c.cfg.Replicas) {
		if i, ok := c.hostOf(r); ok {
			hosts = append(hosts, i)
		}
	}
	return hosts
}

// stored tells the checker of a record that was acknowledged before it began to watch, and is on so many disks.
func (c *Checker) stored(r node.Record, copies int) {
	k := c.history(r.Key)
	w := &written{version: r.Version}
	k.writes[hashOf(r.Value)], k.versions[r.Version] = w, w
	k.acked, k.exact, k.copies = acked{version: r.Version}, acked{version: r.Version}, copies
}
