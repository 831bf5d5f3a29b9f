package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
)

func TestParseSource(t *testing.T) {
	for _, test := range []struct {
		text string
		want source // nil: refused
	}{
		{"10.0.0.1:7400", addrSource("10.0.0.1:7400")},
		{"chord.test:7400", addrSource("chord.test:7400")},
		{"dns://chord.test", dnsSource{"chord.test", 7400}},
		{"dns://chord.test.:7410", dnsSource{"chord.test.", 7410}},
		{"dns://chord", dnsSource{"chord", 7400}},
		{"dnssrv://_chord._tcp.chord.test", srvSource("_chord._tcp.chord.test")},
		{"dnssrv://_chord._tcp.default.svc.cluster.local.", srvSource("_chord._tcp.default.svc.cluster.local.")},
		{"file:///etc/chord/members", fileSource("/etc/chord/members")},
		{"file://members.txt", fileSource("members.txt")},
		{"chord.test", nil},
		{"://", nil},
		{"http://chord.test:7400", nil},
		{"DNS://chord.test", nil},
		{"dns://", nil},
		{"dns://:7400", nil},
		{"dns://chord.test:", nil},
		{"dns://chord.test:0", nil},
		{"dns://chord.test:65536", nil},
		{"dns://chord.test:a", nil},
		{"dns://chord..test", nil},
		{"dns://chord.test/members", nil},
		{"dns://" + strings.Repeat("a.", 127) + "a", nil},
		{"dnssrv://", nil},
		{"dnssrv://chord.test", nil},
		{"dnssrv://_chord.chord.test", nil},
		{"dnssrv://_chord._tcp", nil},
		{"dnssrv://_chord._tcp.", nil},
		{"dnssrv://_._tcp.chord.test", nil},
		{"dnssrv://_chord._tcp.chord.test:7400", nil},
		{"file://", nil},
	} {
		got, err := parseSource(test.text)
		switch {
		case test.want == nil && err == nil:
			t.Errorf("%q: got %#v, want an error", test.text, got)
		case test.want == nil && !strings.Contains(err.Error(), test.text):
			t.Errorf("%q: the error does not repeat it: %v", test.text, err)
		case test.want != nil && (err != nil || got != test.want):
			t.Errorf("%q: got %#v, %v, want %#v", test.text, got, err, test.want)
		}
	}
}

// A source that makes no sense is refused before anything is opened.
func TestSourceRefused(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	code, _, stderr := runForTest(t, nil, alone(t, "--data", data, "--join", "dnssrv://chord.test")...)
	if code != cli.ExitUsage || !strings.Contains(stderr, "dnssrv://_SERVICE._PROTO.NAME") {
		t.Errorf("exit %d, want %d: %s", code, cli.ExitUsage, stderr)
	}
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the data directory was made: %v", err)
	}
}

// records are what a DNS server has, by name with the last dot.
type records map[string][]dnsmessage.ResourceBody

// startDNS serves the records on a UDP socket, and returns a resolver that asks there.
func startDNS(t *testing.T, all records) *net.Resolver {
	t.Helper()
	conn, resolver := resolverAt(t)
	var serving sync.WaitGroup
	serving.Go(func() {
		query := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			reply, err := all.answer(query[:n])
			if err == nil {
				_, err = conn.WriteTo(reply, from)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(func() {
		conn.Close()
		serving.Wait()
	})
	return resolver
}

// resolverAt returns a socket and a resolver that takes what is behind it for its DNS server.
func resolverAt(t *testing.T) (net.PacketConn, *net.Resolver) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (r records) answer(query []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return nil, err
	}
	q := m.Questions[0]
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true}, Questions: m.Questions}
	bodies, found := r[strings.ToLower(q.Name.String())]
	if !found {
		reply.RCode = dnsmessage.RCodeNameError
	}
	for _, body := range bodies {
		if answer := (dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, Body: body}); typeOf(body) == q.Type {
			reply.Answers = append(reply.Answers, answer)
		}
	}
	return reply.Pack()
}

func typeOf(body dnsmessage.ResourceBody) dnsmessage.Type {
	switch body.(type) {
	case *dnsmessage.AResource:
		return dnsmessage.TypeA
	case *dnsmessage.AAAAResource:
		return dnsmessage.TypeAAAA
	}
	return dnsmessage.TypeSRV
}

func srv(target string, port uint16) *dnsmessage.SRVResource {
	return &dnsmessage.SRVResource{Target: dnsmessage.MustNewName(target), Port: port}
}

func TestResolveNames(t *testing.T) {
	resolver := startDNS(t, records{
		"chord.test.": {
			&dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}}, &dnsmessage.AResource{A: [4]byte{10, 0, 0, 2}},
			&dnsmessage.AAAAResource{AAAA: [16]byte{0: 0xfd, 15: 1}},
		},
		"wrong.test.":             {&dnsmessage.AResource{}, &dnsmessage.AResource{A: [4]byte{10, 0, 0, 3}}},
		"_chord._tcp.chord.test.": {srv("a.chord.test.", 7400), srv("b.chord.test.", 7410)},
		"_none._tcp.chord.test.":  {srv(".", 0)},
		"_half._tcp.chord.test.":  {srv("a.chord.test.", 7400), srv("b.chord.test.", 0)},
	})
	for _, test := range []struct {
		source string
		want   []string
		err    string // a part of it
	}{
		{source: "dns://chord.test", want: []string{"10.0.0.1:7400", "10.0.0.2:7400", "[fd00::1]:7400"}},
		{source: "dns://chord.test:7410", want: []string{"10.0.0.1:7410", "10.0.0.2:7410", "[fd00::1]:7410"}},
		{source: "dns://gone.test", err: "no such host"},
		{source: "dns://wrong.test", want: []string{"10.0.0.3:7400"}, err: "0.0.0.0:7400 is not an address that can be reached"},
		{source: "dnssrv://_chord._tcp.chord.test", want: []string{"a.chord.test:7400", "b.chord.test:7410"}},
		{source: "dnssrv://_gone._tcp.chord.test", err: "no such host"},
		{source: "dnssrv://_none._tcp.chord.test", err: "is not an address that can be reached"},
		{source: "dnssrv://_half._tcp.chord.test", want: []string{"a.chord.test:7400"}, err: "b.chord.test:0 is not an address that can be reached"},
	} {
		wantResolved(t, resolver, test.source, test.want, test.err)
	}
}

// wantResolved checks what a source leads to, and that the error, if there is to be one, has the text in it.
func wantResolved(t *testing.T, r *net.Resolver, text string, want []string, wantErr string) {
	t.Helper()
	s, err := parseSource(text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.resolve(t.Context(), r)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", text, got, want)
	}
	if (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
		t.Errorf("%s: got error %v, want %q", text, err, wantErr)
	}
}

func TestResolveFile(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "members", "# the first three\n10.0.0.1:7400\n\n  [fd00::1]:7400\t\r\n\t# the next\nchord.test:7410")
	write(t, "wrong", "10.0.0.1:7400\nchord.test\n#\n0.0.0.0:7400\n10.0.0.2:7400\n")
	write(t, "large", strings.Repeat("#\n", maxSourceBytes))
	for _, test := range []struct {
		source string
		want   []string
		err    []string
	}{
		{source: "file://members", want: []string{"10.0.0.1:7400", "[fd00::1]:7400", "chord.test:7410"}},
		{source: "file://wrong", want: []string{"10.0.0.1:7400", "10.0.0.2:7400"}, err: []string{
			`wrong:2: "chord.test", want HOST:PORT`, "wrong:4: 0.0.0.0:7400 is not an address that can be reached",
		}},
		{source: "file://large", err: []string{"want a regular file"}},
		{source: "file://.", err: []string{"want a regular file"}},
		{source: "file://gone", err: []string{"no such file"}},
	} {
		for _, part := range append(test.err, "")[:max(1, len(test.err))] {
			wantResolved(t, nil, test.source, test.want, part)
		}
	}
	path, err := filepath.Abs("members")
	if err != nil {
		t.Fatal(err)
	}
	wantResolved(t, nil, "file://"+path, []string{"10.0.0.1:7400", "[fd00::1]:7400", "chord.test:7410"}, "")
}

// searcher is as much of a process as it takes to look for others, and its log.
func searcher(resolver *net.Resolver, join ...string) (*process, *bytes.Buffer) {
	var log bytes.Buffer
	p := &process{cfg: Config{Join: join}, resolver: resolver, log: zerolog.New(&log), local: &rpc.Local{Addr: "10.0.0.1:7400"}}
	return p, &log
}

// Sources are resolved anew in each round. One that fails is complained about and does not keep the others from counting; the own address
// does not count.
func TestLook(t *testing.T) {
	t.Chdir(t.TempDir())
	all := records{"chord.test.": {&dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}}, &dnsmessage.AResource{A: [4]byte{10, 0, 0, 2}}}}
	p, log := searcher(startDNS(t, all), "seed.test:7400", "dns://chord.test", "file://members")
	for _, round := range []struct {
		members string // what the file is changed to; "gone": to nothing
		want    []string
		gaps    bool
	}{
		{"gone", []string{"10.0.0.2:7400", "seed.test:7400"}, true},
		{"", []string{"10.0.0.2:7400", "seed.test:7400"}, true},
		{"10.0.0.3:7400\n", []string{"10.0.0.2:7400", "10.0.0.3:7400", "seed.test:7400"}, false},
		{"10.0.0.1:7400\n10.0.0.4:7400\n", []string{"10.0.0.2:7400", "10.0.0.4:7400", "seed.test:7400"}, false},
		{"10.0.0.2:7400\n10.0.0.5\n", []string{"10.0.0.2:7400", "seed.test:7400"}, true},
	} {
		if round.members != "gone" {
			write(t, "members", round.members)
		}
		if l := p.look(t.Context()); !slices.Equal(l.addrs, round.want) || l.gaps != round.gaps || !l.own {
			t.Errorf("file %q: got %+v, want %q, the own address, gaps: %v", round.members, l, round.want, round.gaps)
		}
	}
	for _, part := range []string{`"file://members"`, "no such file", "trying it again"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("no %s in the complaint: %s", part, log)
		}
	}
}

// A resolver that never answers delays a round by sourceTimeout, and what the other sources say counts.
func TestResolverHangs(t *testing.T) {
	t.Run("addresses", func(t *testing.T) {
		t.Parallel()
		released := make(chan struct{})
		t.Cleanup(func() { close(released) })
		wantOnlySeed(t, "dns://chord.test", &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			<-released // whatever its context says
			return nil, net.ErrClosed
		}})
	})
	t.Run("services", func(t *testing.T) {
		t.Parallel()
		_, resolver := resolverAt(t) // nobody reads there
		dial := resolver.Dial
		resolver.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > sourceTimeout {
				t.Errorf("a lookup may take until %v, want %v at most", deadline, sourceTimeout)
			}
			return dial(ctx, network, addr)
		}
		wantOnlySeed(t, "dnssrv://_chord._tcp.chord.test", resolver)
	})
}

// wantOnlySeed looks for a process at a source that does not answer, and at an address.
func wantOnlySeed(t *testing.T, silent string, resolver *net.Resolver) {
	t.Helper()
	p, log := searcher(resolver, "10.0.0.2:7400", silent)
	if l := p.look(t.Context()); !slices.Equal(l.addrs, []string{"10.0.0.2:7400"}) || !l.gaps {
		t.Errorf("got %+v, want the seed that needs no resolver", l)
	}
	if !strings.Contains(log.String(), silent) {
		t.Errorf("no complaint about %s: %s", silent, log)
	}
}

// Who has sources begins alone only if it is told to and all of them say that nobody else is there.
func TestMayBegin(t *testing.T) {
	for _, test := range []struct {
		name   string
		expect int
		l      lookout
		s      survey
		want   bool
	}{
		{name: "named alone", expect: 1, l: lookout{own: true}, want: true},
		{name: "named alone, under another name", expect: 1, l: lookout{addrs: []string{"a"}}, s: survey{self: 1}, want: true},
		{name: "named alone, not told to", l: lookout{own: true}},
		{name: "named alone, others expected", expect: 3, l: lookout{own: true}},
		{name: "nobody named", expect: 1},
		{name: "a source fails", expect: 1, l: lookout{own: true, gaps: true}},
		{name: "another is silent", expect: 1, l: lookout{own: true, addrs: []string{"a"}}, s: survey{silent: 1}},
		{name: "another waits", expect: 1, l: lookout{own: true, addrs: []string{"a", "b"}}, s: survey{self: 1}},
	} {
		p := &process{cfg: Config{Bootstrap: test.expect, Join: []string{"file://members"}}, local: &rpc.Local{Identity: node.Identity{}}}
		if got := p.mayBegin(test.l, test.s); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

const (
	messageUnresolved = "cannot resolve a source of --join; trying it again each time"
	messageTrying     = "not a member of the ring yet; still trying"
)

// A process whose source names nobody founds no ring: it waits until the source names a member.
func TestJoinByFile(t *testing.T) {
	members := filepath.Join(t.TempDir(), "members")
	write(t, members, "# nobody yet\n")
	d := startHere(t, inMemory("--join", "file://"+members)...)
	if line := d.await(t, messageUnresolved); line["source"] != "file://"+members || line["error"] != errNamesNobody.Error() {
		t.Errorf("the log does not say what is wrong: %v", line)
	}
	d.await(t, messageTrying)
	seed := startHere(t, inMemory()...).ready(t)
	write(t, members, seed["advertise"]+"\n")
	if joined := d.ready(t); joined["cluster"] != seed["cluster"] {
		t.Errorf("cluster: got %s, want %s", joined["cluster"], seed["cluster"])
	}
}

// Two rings become one as soon as the source that a process of one asks names a process of the other.
func TestReuniteByFile(t *testing.T) {
	one, other := twoRings(t)
	members := filepath.Join(t.TempDir(), "members")
	other.cfg.Join = []string{"file://" + members}
	other.reunite(t.Context()) // there is no such file yet
	write(t, members, one.local.Addr+"\n")
	other.reunite(t.Context())
	put(t, one.local.Addr, "hello", "world") // needs both, by the default quorums
	wantValue(t, other.local.Addr, "hello", "world")
}

// Processes that wait for one another to found a ring find each other by a source, late as it may name them.
func TestBootstrapByFile(t *testing.T) {
	members := filepath.Join(t.TempDir(), "members")
	var addrs []string
	var all []*daemon
	for range 2 {
		addrs = append(addrs, freePort(t))
		all = append(all, startHere(t, inMemory("--listen", addrs[len(addrs)-1], "--join", "file://"+members, "--bootstrap-expect", "2")...))
	}
	for _, d := range all {
		d.await(t, messageUnresolved)
	}
	write(t, members, strings.Join(addrs, "\n"))
	if one, other := all[0].ready(t), all[1].ready(t); one["cluster"] != other["cluster"] {
		t.Errorf("clusters %s and %s, want the same", one["cluster"], other["cluster"])
	}
}

// With --bootstrap-expect 1 a process begins alone, at first and after a restart, once its source names it and nobody else.
func TestBeginAloneByFile(t *testing.T) {
	dir := t.TempDir()
	members, addr := filepath.Join(dir, "members"), freePort(t)
	args := alone(t, "--listen", addr, "--data", filepath.Join(dir, "data"), "--join", "file://"+members, "--bootstrap-expect", "1")
	d := startHere(t, args...)
	d.await(t, messageTrying)
	write(t, members, addr+"\n")
	first := d.ready(t)
	d.stop(t)
	if second := startHere(t, args...).ready(t); second["cluster"] != first["cluster"] {
		t.Errorf("cluster: got %s after a restart, want %s", second["cluster"], first["cluster"])
	}
}

// A process that is all that its source names says what to do about it, and waits.
func TestNamedAlone(t *testing.T) {
	members, addr := filepath.Join(t.TempDir(), "members"), freePort(t)
	write(t, members, addr+"\n")
	d := startHere(t, inMemory("--listen", addr, "--join", "file://"+members)...)
	if line := d.await(t, messageTrying); !strings.Contains(line["error"].(string), "--bootstrap-expect 1") {
		t.Errorf("the log does not say what to do: %v", line)
	}
}
