package experiment

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/sim"
)

// routing returns the settings of a node that only routes, as in the papers: one replica, so that no data and no repair is on the
// network, and fingers that are the first of their intervals.
func routing(successors int) node.Config {
	c := node.DefaultConfig()
	c.Successors, c.FingerCandidates = successors, 1
	c.StabilizeQuiet = 0
	c.Replicas, c.WriteQuorum, c.ReadQuorum = 1, 1, 1
	return c
}

// never is an interval that no run reaches the end of.
const never = 100_000 * time.Hour

// frozen returns the settings with all periodic maintenance off.
func frozen(c node.Config) node.Config {
	c.StabilizeInterval, c.FixFingersInterval, c.HealInterval = never, never, never
	c.RepairInterval, c.SweepInterval, c.SettleDelay = never, never, never
	return c
}

// The packet level of the papers' simulator [ToN, section V-A].
const (
	packetDelay = 50 * time.Millisecond // mean of an exponential distribution, one way

	// Deviation: [ToN] declares a node gone after 500 ms. One round trip in 2,000 takes longer, and a node that takes a live owner for dead
	// gives its keys to the next: five lookups in 10,000 would go wrong for that alone. After a second it is one round trip in 20 million.
	packetTimeout = time.Second
)

// paperNode returns the settings of a node as in the experiments of the papers that repair the ring every 30 s.
func paperNode(successors int) node.Config {
	c := routing(successors)
	c.StabilizeInterval, c.FixFingersInterval = 30*time.Second, 30*time.Second
	c.HealInterval, c.RepairInterval, c.SweepInterval = never, never, never
	c.RingTimeout, c.MinTimeout = packetTimeout, packetTimeout // one attempt, as in the papers
	return c
}

// randomID returns a random place on the ring.
func randomID(r *sim.Rand) (id ring.ID) {
	binary.BigEndian.PutUint64(id[0:], r.Uint64())
	binary.BigEndian.PutUint64(id[8:], r.Uint64())
	binary.BigEndian.PutUint32(id[16:], uint32(r.Uint64()>>32))
	return id
}

// members are the nodes of all running processes, clockwise: the oracle that knows whose an identifier is.
type members []ring.ID

func membersOf(w *sim.World) members {
	var m members
	for _, h := range w.Hosts() {
		if h.Running() {
			for _, n := range h.Process().Nodes() {
				m = append(m, n.ID)
			}
		}
	}
	slices.SortFunc(m, ring.ID.Compare)
	return m
}

// owner returns the node that owns id.
func (m members) owner(id ring.ID) ring.ID {
	i, _ := slices.BinarySearchFunc(m, id, ring.ID.Compare)
	return m[i%len(m)]
}
