package gossip

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/chordkv/chord/sim"
)

// tally counts what members send, in the words of the model of p2psim.
type tally struct {
	packets, bytes, names, acks atomic.Int64
}

// packet counts the messages of one packet, by memberlist's types.
func (y *tally) packet(b []byte) {
	y.packets.Add(1)
	y.bytes.Add(int64(len(b)))
	if b, _, err := memberlist.RemoveLabelHeaderFromPacket(b); err == nil {
		y.message(b)
	}
}

func (y *tally) message(b []byte) {
	const ack, suspect, alive, dead, compound, hasCRC = 2, 3, 4, 5, 7, 12
	switch b[0] {
	case ack:
		y.acks.Add(1)
	case alive:
		y.names.Add(1)
	case suspect, dead:
		y.names.Add(2)
	case hasCRC:
		y.message(b[5:])
	case compound:
		n := int(b[1])
		lengths, rest := b[2:2+2*n], b[2+2*n:]
		for i := range n {
			l := int(binary.BigEndian.Uint16(lengths[2*i:]))
			y.message(rest[:l])
			rest = rest[l:]
		}
	}
}

// modeled returns what was sent in packets, in bytes by the model of p2psim, with the coordinate in an answer as it is.
func (y *tally) modeled() float64 {
	return float64(20*y.packets.Load() + 4*y.names.Load() + 5*y.acks.Load())
}

// TestCost compares what 32 members send, of which one dies and another joins every second, with what the simulator says that it costs, at a quick pace, and with each piece of news
// passed on as often as at the default pace and half as often, as at slow ones.
func TestCost(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	if slow {
		t.Skip("times of 32 members on one machine mean nothing with the race detector")
	}
	for _, retransmit := range []int{4, 2} {
		t.Run(fmt.Sprint("retransmit ", retransmit), func(t *testing.T) {
			const members, rounds, pace = 32, 10, 500 * time.Millisecond
			var sent tally
			join := func(i int, via *peer) *peer {
				p := begin(t, number(uint64(i)), func(c *Config) {
					paced := PacedConfig(pace)
					paced.Self, paced.Advertise, paced.Cluster, paced.Retransmit = c.Self, c.Advertise, c.Cluster, retransmit
					*c = paced
				})
				p.network.tally.Store(&sent)
				if via != nil {
					eventually(t, func() error { return p.Join(t.Context(), []string{via.at()}) })
				}
				return p
			}
			peers := []*peer{join(1, nil)}
			for i := 2; i <= members; i++ {
				peers = append(peers, join(i, peers[0]))
			}
			knowMost(t, peers)
			time.Sleep(5 * time.Second) // the news of that is over
			began := time.Now()
			sentBefore, bytesBefore := sent.modeled(), sent.bytes.Load()
			for i := range rounds {
				peers[1].Close()
				peers = append(append(peers[:1:1], peers[2:]...), join(100+i, peers[0]))
				time.Sleep(time.Until(began.Add(time.Duration(i+1) * time.Second)))
			}
			took := time.Since(began).Seconds()
			g := sim.PacedGossip(pace)
			g.Retransmit = retransmit
			cost := g.Cost(members, rounds/took, rounds/took)
			perMember := func(x float64) float64 { return x / members / took }
			got, want := perMember(sent.modeled()-sentBefore), cost.Probes+cost.News
			t.Logf("%.0f bytes by the model of p2psim, by the model of the simulator %.0f; %.0f in packets as they are", got, want, perMember(float64(sent.bytes.Load()-bytesBefore)))
			if got < 0.6*want || got > 1.5*want {
				t.Errorf("%.0f bytes a member and second by the model of p2psim, by the model of the simulator %.0f", got, want)
			}
		})
	}
}
