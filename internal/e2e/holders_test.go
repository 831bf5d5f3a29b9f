package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

// replicas is N, the default of chordd.
const replicas = 3

// census is who stores what, as the processes tell it one by one, record by record: nothing of the ring's own idea of itself.
type census struct {
	addrs []string                      // of the processes
	nodes []ring.Ref                    // of all of them, clockwise
	held  map[string]map[string]version // by key, then address
}

type version struct{ time, origin uint64 }

// take asks every process for its nodes and for every key that it stores.
func take(ctx context.Context, processes []*chordd) (census, error) {
	c := census{held: make(map[string]map[string]version)}
	for _, d := range processes {
		if err := c.ask(ctx, d.listen); err != nil {
			return census{}, fmt.Errorf("%s: %w", d.name, err)
		}
		c.addrs = append(c.addrs, d.listen)
	}
	slices.SortFunc(c.nodes, func(a, b ring.Ref) int { return a.ID.Compare(b.ID) })
	return c, nil
}

func (c *census) ask(ctx context.Context, addr string) error {
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	hello, err := chordv1.NewRingServiceClient(conn).Hello(ctx, &chordv1.HelloRequest{Protocol: 1})
	if err != nil {
		return err
	}
	for _, n := range hello.GetNodes() {
		c.nodes = append(c.nodes, ring.Ref{ID: ring.ID(n.GetId()), Zone: ring.Zone(n.GetZone()), Addr: n.GetAddr()})
	}
	const page = 1024 // the most that one answer lists
	store := chordv1.NewReplicaServiceClient(conn)
	full := ring.FullArc()
	req := &chordv1.ListRequest{Arc: &chordv1.Arc{After: full.After[:], Through: full.Through[:]}, Limit: page}
	for {
		resp, err := store.List(ctx, req)
		if err != nil {
			return err
		}
		for _, e := range resp.GetEntries() {
			at := c.held[string(e.GetKey())]
			if at == nil {
				at = make(map[string]version, replicas)
				c.held[string(e.GetKey())] = at
			}
			if _, twice := at[addr]; twice {
				return fmt.Errorf("key %q is listed twice", e.GetKey())
			}
			at[addr] = version{e.GetVersion().GetTime(), e.GetVersion().GetOrigin()}
		}
		if len(resp.GetEntries()) < page {
			return nil
		}
		req.FromKey = resp.GetEntries()[page-1].GetKey()
	}
}

// group returns where a key belongs: the first distinct processes clockwise from its place.
func (c *census) group(key string) []string {
	id := ring.Hash([]byte(key))
	start, _ := slices.BinarySearchFunc(c.nodes, id, func(n ring.Ref, id ring.ID) int { return n.ID.Compare(id) })
	var group []string
	for i := range c.nodes {
		n := c.nodes[(start+i)%len(c.nodes)]
		if !slices.Contains(group, n.Addr) {
			group = append(group, n.Addr)
		}
		if len(group) == min(replicas, len(c.addrs)) {
			break
		}
	}
	return group
}

// check returns nil if exactly the keys of want are stored, each by exactly the processes of its group and in one version.
func (c *census) check(want map[string]string) error {
	var errs []error
	report := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	wrong := 0
	for key := range want {
		held := c.held[key]
		group := c.group(key)
		slices.Sort(group)
		got := slices.Sorted(maps.Keys(held))
		versions := make(map[version]bool)
		for _, v := range held {
			versions[v] = true
		}
		if slices.Equal(got, group) && len(versions) == 1 {
			continue
		}
		if wrong++; wrong <= 3 {
			report("key %q: held by %v in %d versions, want exactly %v", key, got, len(versions), group)
		}
	}
	if wrong > 0 {
		report("%d of %d keys in all are not exactly where they belong", wrong, len(want))
	}
	for key := range c.held {
		if _, ok := want[key]; !ok {
			report("key %q is stored, and was never written", key)
			break
		}
	}
	return errors.Join(errs...)
}

// stores reports whether the process holds at least n keys, n being at most a page.
func (d *chordd) stores(n int) bool {
	conn, err := grpc.NewClient("passthrough:///"+d.listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return false
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(d.t.Context(), 5*time.Second)
	defer cancel()
	full := ring.FullArc()
	resp, err := chordv1.NewReplicaServiceClient(conn).List(ctx, &chordv1.ListRequest{
		Arc: &chordv1.Arc{After: full.After[:], Through: full.Through[:]}, Limit: uint32(n),
	})
	return err == nil && len(resp.GetEntries()) == n
}

// count returns how many keys a process holds.
func (c *census) count(d *chordd) int {
	n := 0
	for _, held := range c.held {
		if _, ok := held[d.listen]; ok {
			n++
		}
	}
	return n
}

// waitHeld waits until every key of want is on exactly its replicas among the processes, and returns the census that showed it.
func waitHeld(t *testing.T, processes []*chordd, want map[string]string) census {
	t.Helper()
	var c census
	eventually(t, 30*time.Second, "every key on exactly its replicas", func() error {
		// A census costs seconds of the time that the processes need themselves, so it is taken when it has a chance.
		n, err := recordsOf(processes)
		if err == nil && n != replicas*len(want) {
			err = fmt.Errorf("%d records in all, want %d of each of %d keys", n, replicas, len(want))
		}
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if c, err = take(ctx, processes); err != nil {
			return err
		}
		return c.check(want)
	})
	return c
}

var recordsMetric = regexp.MustCompile(`(?m)^chord_store_records ([0-9.e+]+)$`)

// recordsOf returns how many records the processes have in all, by their own count.
func recordsOf(processes []*chordd) (int, error) {
	sum := 0
	for _, d := range processes {
		metrics, err := d.get("/metrics")
		if err != nil {
			return sum, err
		}
		m := recordsMetric.FindStringSubmatch(metrics)
		if m == nil {
			return sum, fmt.Errorf("%s is still counting", d.name)
		}
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return sum, err
		}
		sum += int(n)
	}
	return sum, nil
}

// checkExport reads everything through the ring, at a quorum, and compares it with what was written.
func checkExport(t *testing.T, server *chordd, want map[string]string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "export.tsv")
	mustChord(t, "export", file, "--server", server.listen, "--format", "tsv", "--no-progress")
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen := make(map[string]bool, len(want))
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), "\t")
		wanted, written := want[key]
		switch {
		case !ok:
			t.Fatalf("export: line without TAB: %q", lines.Text())
		case seen[key]:
			t.Fatalf("export: key %q twice", key)
		case !written:
			t.Fatalf("export: key %q was never written", key)
		case value != wanted:
			t.Fatalf("export: key %q has %q, want %q", key, value, wanted)
		}
		seen[key] = true
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(seen) != len(want) {
		t.Fatalf("export: %d keys, want %d", len(seen), len(want))
	}
}
