package gossip

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/chordkv/chord/ring"
)

// What a member says of itself arrives as it was said, and the longest of all fits.
func TestMetadata(t *testing.T) {
	longest := number(1)
	longest.Addr, longest.Zone, longest.Version = strings.Repeat("a", maxAddrBytes), strings.Repeat("z", MaxZoneBytes), strings.Repeat("v", maxVersionBytes)
	longest.Identity.VNodes, longest.Identity.Incarnation, longest.Identity.Zone = maxVNodes, 1<<64-1, ring.ZoneOf(longest.Zone)
	for _, m := range []Member{number(1), longest} {
		meta := mustMeta(t, m)
		if len(meta) >= memberlist.MetaMaxSize {
			t.Errorf("%d bytes, want less than %d", len(meta), memberlist.MetaMaxSize)
		}
		for _, b := range [][]byte{meta, append(bytes.Clone(meta), "a field of a later version"...)} {
			got, err := memberOf(&memberlist.Node{Name: m.name(), Meta: b})
			if err != nil || got != m {
				t.Errorf("got %+v, error %v; want %+v", got, err, m)
			}
		}
		for n := range meta {
			if got, err := memberOf(&memberlist.Node{Name: m.name(), Meta: meta[:n]}); err == nil {
				t.Errorf("%d bytes of %d: got %+v, want an error", n, len(meta), got)
			}
		}
	}
	longest.Stops = true
	for _, longest.Left = range []bool{false, true} {
		if got, err := memberOf(&memberlist.Node{Name: longest.name(), Meta: mustMeta(t, longest)}); err != nil || got != longest {
			t.Errorf("got %+v, error %v; want %+v", got, err, longest)
		}
	}
	longest.Zone += "z"
	if _, err := longest.meta(); err == nil {
		t.Error("a zone that is too long is no error")
	}
}

// Whatever a stranger says is a member within the limits, or an error.
func TestMetadataOfStrangers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, memberlist.MetaMaxSize).Draw(t, "meta")
		if len(b) > 0 && rapid.Bool().Draw(t, "known format") {
			b[0] = metaFormat
		}
		m, err := memberOf(&memberlist.Node{Name: number(1).name(), Meta: b})
		if err == nil && m.validate() != nil {
			t.Fatalf("accepted %+v: %v", m, m.validate())
		}
	})
}

// memberlist's lines have their level, a bound and an end, and not their mark.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	ended := make(chan struct{})
	log := newLog(zerolog.New(&out), ended)
	log.Printf("[ERR] memberlist: one")
	log.Printf("[DEBUG] memberlist: two")
	log.Printf("no mark")
	want := `{"level":"error","message":"one"}
{"level":"debug","message":"two"}
{"level":"warn","message":"no mark"}
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	for range 10 * logBurst {
		log.Printf("[ERR] memberlist: garbage")
	}
	if got := strings.Count(out.String(), "\n"); got > logBurst {
		t.Errorf("%d lines, want at most %d", got, logBurst)
	}

	out.Reset()
	log = newLog(zerolog.New(&out), ended)
	close(ended)
	log.Printf("[ERR] memberlist: use of closed network connection")
	if out.Len() > 0 {
		t.Errorf("logged %s after the end", out.String())
	}
}
