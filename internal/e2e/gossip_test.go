package e2e

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

// observer asks a process for its status over one connection.
type observer struct {
	*chordd
	admin chordv1.AdminServiceClient
}

func observe(t *testing.T, ring []*chordd) []observer {
	t.Helper()
	var all []observer
	for _, d := range ring {
		conn, err := grpc.NewClient("passthrough:///"+d.admin, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(d.dial))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		all = append(all, observer{d, chordv1.NewAdminServiceClient(conn)})
	}
	return all
}

func (o observer) status(t *testing.T) (*chordv1.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return o.admin.Status(ctx, &chordv1.StatusRequest{})
}

// gossips returns nil if as many processes as that are alive by what the process hears.
func (o observer) gossips(t *testing.T, want uint32) error {
	s, err := o.status(t)
	if err != nil {
		return err
	}
	var members uint32
	for _, z := range s.GetGossip().GetZones() {
		members += z.GetMembers()
	}
	if members != want {
		return fmt.Errorf("%s hears of %d processes, want %d", o.name, members, want)
	}
	return nil
}

// without returns nil if no node of the process has one of the other in its list.
func (o observer) without(t *testing.T, other *chordd) error {
	s, err := o.status(t)
	if err != nil {
		return err
	}
	for _, n := range s.GetNodes() {
		if slices.ContainsFunc(n.GetSuccessors(), func(r *chordv1.Ref) bool { return r.GetAddr() == other.listen }) {
			return fmt.Errorf("%s still has %s in a list", o.name, other.name)
		}
	}
	return nil
}

// waitFor waits until check returns nil for each of the observers, and returns how long that took.
func waitFor(t *testing.T, what string, all []observer, check func(o observer) error) time.Duration {
	t.Helper()
	began := time.Now()
	eventually(t, 30*time.Second, what, func() error {
		var errs []error
		for _, o := range all {
			errs = append(errs, check(o))
		}
		return errors.Join(errs...)
	})
	return time.Since(began)
}

// TestCrashIsNoticed kills processes of a ring of twenty by SIGKILL and measures, at default settings, how soon each is gone from every
// successor list, and when all have heard by gossip.
func TestCrashIsNoticed(t *testing.T) {
	needPrograms(t)
	ring := startRing(t, 20)
	all := observe(t, ring)
	waitFor(t, "known to all by gossip", all, func(o observer) error { return o.gossips(t, 20) })
	var dropped, heard []time.Duration
	for range 3 {
		killed := all[len(all)/2]
		all = slices.Delete(all, len(all)/2, len(all)/2+1)
		killed.kill()
		began := time.Now()
		dropped = append(dropped, waitFor(t, "gone from every list", all, func(o observer) error { return o.without(t, killed.chordd) }))
		waitFor(t, "dead by gossip", all, func(o observer) error { return o.gossips(t, uint32(len(all))) })
		heard = append(heard, time.Since(began))
	}
	slices.Sort(dropped)
	slices.Sort(heard)
	t.Logf("median of 3: gone from every list after %v, heard by all after %v", dropped[1], heard[1])
}

// TestStoppedProcessComesBack stops a process for 20 s, as a machine that hangs does: the others go on without it; when it runs again it is
// back in its place, and nothing is lost.
func TestStoppedProcessComesBack(t *testing.T) {
	needPrograms(t)
	t.Parallel() // most of the time is waiting
	want := packageList(5, 2000)
	ring := startRing(t, 5, "--vnodes", "4")
	all := observe(t, ring)
	waitFor(t, "known to all by gossip", all, func(o observer) error { return o.gossips(t, 5) })
	importAll(t, ring[0], want)
	before := placesOf(t, ring)

	over := time.After(20 * time.Second)
	hung := all[2]
	if err := hung.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	rest := slices.Delete(slices.Clone(all), 2, 3)
	waitFor(t, "out of every list", rest, func(o observer) error { return o.without(t, hung.chordd) })
	waitFor(t, "dead by gossip", rest, func(o observer) error { return o.gossips(t, 4) })
	checkExport(t, ring[0], want)
	<-over
	if err := hung.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "alive by gossip", all, func(o observer) error { return o.gossips(t, 5) })
	waitHeld(t, ring, want)
	checkExport(t, hung.chordd, want)
	if after := placesOf(t, ring); after != before {
		t.Errorf("the ring is\n%s, want\n%s", after, before)
	}
}

// placesOf returns all nodes of a ring, clockwise, with their addresses.
func placesOf(t *testing.T, ring []*chordd) string {
	t.Helper()
	c, err := take(t.Context(), ring)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, n := range c.nodes {
		fmt.Fprintln(&b, n)
	}
	return b.String()
}

// TestNewAddress kills a process and starts it at once under other addresses: gossip takes it back, and so does the ring.
func TestNewAddress(t *testing.T) {
	needPrograms(t)
	t.Parallel() // most of the time is waiting
	want := packageList(6, 500)
	ring := startRing(t, 4, "--vnodes", "4")
	all := observe(t, ring)
	waitFor(t, "known to all by gossip", all, func(o observer) error { return o.gossips(t, 4) })
	importAll(t, ring[0], want)
	moved := ring[3]
	moved.kill()
	moved.listen = freeAddr(t)
	moved.start("--join", ring[0].listen)
	waitReady(t, moved)
	waitFor(t, "taken back by gossip", all[:3], func(o observer) error {
		metrics, err := o.get("/metrics")
		if err == nil && !oldSelfDead.MatchString(metrics) {
			err = fmt.Errorf("%s has not heard yet that nobody is at the old address", o.name)
		}
		return errors.Join(err, o.gossips(t, 4))
	})
	waitHeld(t, ring, want)
}

var oldSelfDead = regexp.MustCompile(`(?m)^chord_gossip_events_total\{event="dead"\} [1-9]`)

// TestWithoutGossip: the ring is as correct without gossip, and with a member that has none.
func TestWithoutGossip(t *testing.T) {
	needPrograms(t)
	t.Parallel() // most of the time is waiting
	want := packageList(7, 500)
	for _, gossiping := range []int{0, 2} {
		t.Run(fmt.Sprintf("%d of 4 gossip", gossiping), func(t *testing.T) {
			var ring []*chordd
			for i := range 4 {
				args := []string{"--vnodes", "4", "--grace", "2s"}
				if i >= gossiping {
					args = append(args, "--gossip", "off")
				}
				ring = append(ring, newChordd(t, fmt.Sprintf("process %d", i), args...))
			}
			startAll(t, ring)
			importAll(t, ring[0], want)
			ring[3].kill()
			waitHeld(t, ring[:3], want)
			ring[3].start("--join", ring[1].listen)
			waitReady(t, ring[3])
			waitHeld(t, ring, want)
		})
	}
}
