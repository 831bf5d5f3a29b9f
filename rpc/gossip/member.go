package gossip

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/hashicorp/memberlist"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
)

// Member is a process, as it says itself.
type Member struct {
	Identity node.Identity // from which its nodes derive
	Addr     string        // HOST:PORT where it listens for nodes and clients
	Zone     string        // where it runs, at most MaxZoneBytes; empty if it was not told
	Version  string        // of its program
	Stops    bool          // it has said that it is about to stop
	Left     bool          // and has handed over what it held: nobody needs to wait for it
}

// Limits of what a member says: together they stay under the 512 bytes that memberlist has for it.
const (
	MaxZoneBytes = 63

	maxAddrBytes    = 261 // a DNS name, a colon and a port
	maxVersionBytes = 63
	maxVNodes       = 1024
)

// metaFormat begins the metadata. A field may be added at the end of them under the same format: who does not know it skips it.
const metaFormat = 1

// What ends the metadata of a member that is about to stop. Others have nothing in its place.
const (
	metaStops = 1
	metaLeft  = 2 // having handed over what it held
)

var errMeta = errors.New("metadata")

// Nodes returns the ring nodes that the process hosts.
func (m Member) Nodes() []ring.Ref { return m.Identity.Refs(m.Addr) }

// name is what memberlist calls the member.
func (m Member) name() string { return m.Identity.String() }

// meta returns everything about the member but its name: the format, the number of nodes, the incarnation, and the texts, each after
// its length.
func (m Member) meta() ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, err
	}
	b := []byte{metaFormat}
	b = binary.AppendUvarint(b, uint64(m.Identity.VNodes))
	b = binary.AppendUvarint(b, m.Identity.Incarnation)
	for _, text := range []string{m.Addr, m.Zone, m.Version} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	switch {
	case m.Left:
		b = append(b, metaLeft)
	case m.Stops:
		b = append(b, metaStops)
	}
	return b, nil
}

func (m Member) validate() error {
	if m.Identity.VNodes < 1 || m.Identity.VNodes > maxVNodes {
		return fmt.Errorf("%w: %d nodes, want 1 to %d", errMeta, m.Identity.VNodes, maxVNodes)
	}
	if m.Addr == "" {
		return fmt.Errorf("%w: no address", errMeta)
	}
	for _, f := range []struct {
		name, text string
		most       int
	}{{"address", m.Addr, maxAddrBytes}, {"zone", m.Zone, MaxZoneBytes}, {"version", m.Version, maxVersionBytes}} {
		if len(f.text) > f.most {
			return fmt.Errorf("%w: the %s has %d bytes, want at most %d", errMeta, f.name, len(f.text), f.most)
		}
		if !utf8.ValidString(f.text) {
			return fmt.Errorf("%w: the %s is not UTF-8", errMeta, f.name)
		}
	}
	return nil
}

// memberOf reads what a process says about itself, which may be hostile.
func memberOf(n *memberlist.Node) (m Member, err error) {
	if len(n.Name) != hex.EncodedLen(len(m.Identity.Process)) {
		return Member{}, fmt.Errorf("name %.40q: want %d hexadecimal digits", n.Name, hex.EncodedLen(len(m.Identity.Process)))
	}
	if _, err := hex.Decode(m.Identity.Process[:], []byte(n.Name)); err != nil || m.name() != n.Name {
		return Member{}, fmt.Errorf("name %.40q: want hexadecimal digits in lower case", n.Name)
	}
	r := metaReader{rest: n.Meta}
	if format := r.byte(); r.err == nil && format != metaFormat {
		return Member{}, fmt.Errorf("%w: format %d, this program knows %d", errMeta, format, metaFormat)
	}
	m.Identity.VNodes = int(min(r.uvarint(), maxVNodes+1)) // validate refuses what was cut
	m.Identity.Incarnation = r.uvarint()
	m.Addr, m.Zone, m.Version = r.text(), r.text(), r.text()
	m.Identity.Zone = ring.ZoneOf(m.Zone)
	if len(r.rest) > 0 {
		end := r.byte()
		m.Left = end == metaLeft
		m.Stops = m.Left || end == metaStops
	}
	if r.err != nil {
		return Member{}, r.err
	}
	return m, m.validate()
}

// metaReader takes fields off the front of metadata; after the first error it returns zeros.
type metaReader struct {
	rest []byte
	err  error
}

func (r *metaReader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.rest, r.err = nil, fmt.Errorf("%w: cut off", errMeta)
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *metaReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *metaReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.rest, r.err = nil, fmt.Errorf("%w: cut off", errMeta)
		return 0
	}
	r.take(uint64(n))
	return v
}

func (r *metaReader) text() string { return string(r.take(r.uvarint())) }
