package gossip

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/chordkv/chord/sim"
)

// tally counts what members send, in the words of the model of p2psim.
type tally struct {
	packets, bytes, names, acks atomic.Int64 // of packets; names are those of members
	states, listed              atomic.Int64 // exchanges of everything, each way, and the members named there
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

// stream counts an exchange of everything, which memberlist writes in one piece.
func (y *tally) stream(b []byte) {
	const pushPull = 6
	if b[0] != pushPull {
		return
	}
	_, number, found := bytes.Cut(b, []byte("\xa5Nodes")) // in MessagePack
	if !found {
		panic("an exchange does not say of how many members")
	}
	nodes := int64(number[0])
	switch {
	case nodes < 0x80:
	case nodes == 0xcc || nodes == 0xd0:
		nodes = int64(number[1])
	case nodes == 0xcd || nodes == 0xd1:
		nodes = int64(binary.BigEndian.Uint16(number[1:]))
	default:
		panic(fmt.Sprintf("an exchange is of %x members", number[:4]))
	}
	y.states.Add(1)
	y.listed.Add(nodes)
}

// modeled returns what was sent, in bytes by the model of p2psim, with the coordinate in an answer as it is, and without sightings.
func (y *tally) modeled() (packets, exchanges float64) {
	return float64(20*y.packets.Load() + 4*y.names.Load() + 5*y.acks.Load()), float64(20*y.states.Load() + 4*y.listed.Load())
}

// TestCost compares what members send, of which one dies and another joins now and then, with what the simulator says that it costs: at a quick pace, with each piece of news passed on as
// often as at the default pace and half as often, and at a slow pace among more that stay for half an hour.
func TestCost(t *testing.T) {
	for _, c := range []struct {
		members    int
		pace       time.Duration
		session    time.Duration // in the mean
		retransmit int
	}{
		{32, 500 * time.Millisecond, 32 * time.Second, 4},
		{32, 500 * time.Millisecond, 32 * time.Second, 2},
		{128, 20 * time.Second, 30 * time.Minute, 1},
	} {
		t.Run(fmt.Sprintf("pace %v, retransmit %d", c.pace, c.retransmit), func(t *testing.T) {
			if c.members > 100 && testing.Short() {
				t.Skip("takes many seconds")
			}
			inAir(t, c.pace, func(t *testing.T, a *air) { compareCost(t, a, c.members, c.pace, c.session, c.retransmit) })
		})
	}
}

func compareCost(t *testing.T, a *air, members int, pace, session time.Duration, retransmit int) {
	var peers []*peer
	begun := 0
	join := func() {
		begun++
		p := a.begin(t, number(uint64(begun)), paced(pace), func(c *Config) { c.Retransmit = retransmit })
		if len(peers) > 0 {
			if err := p.Join(t.Context(), []string{peers[rand.IntN(len(peers))].at()}); err != nil {
				t.Fatal(err)
			}
		}
		peers = append(peers, p)
	}
	for range members {
		join()
		time.Sleep(pace / 10)
	}
	churn := func(changes int) {
		for range changes {
			time.Sleep(session / time.Duration(members))
			i := rand.IntN(len(peers))
			peers[i].Close()
			peers = slices.Delete(peers, i, i+1)
			join()
		}
	}
	churn(members) // until as many of the dead are remembered as ever
	bytesBefore, began := a.sent.bytes.Load(), time.Now()
	packetsBefore, exchangesBefore := a.sent.modeled()
	churn(members)
	took := time.Since(began).Seconds()
	packets, exchanges := a.sent.modeled()
	perMember := func(x float64) float64 { return x / float64(members) / took }
	g := sim.PacedGossip(pace)
	g.Retransmit = retransmit
	changes := float64(members) / session.Seconds()
	cost := g.Cost(members, changes, changes)
	t.Logf("%.0f bytes a member and second in packets as they are", perMember(float64(a.sent.bytes.Load()-bytesBefore)))
	for _, x := range []struct {
		what      string
		got, want float64
	}{
		{"probes and news", perMember(packets - packetsBefore), cost.Probes + cost.News},
		{"exchanges", perMember(exchanges - exchangesBefore), cost.Exchanges},
	} {
		t.Logf("%s: %.1f bytes a member and second by the model of p2psim, by the model of the simulator %.1f", x.what, x.got, x.want)
		if x.got < 0.75*x.want || x.got > 1.33*x.want {
			t.Errorf("%s: %.1f bytes a member and second by the model of p2psim, by the model of the simulator %.1f", x.what, x.got, x.want)
		}
	}
}
