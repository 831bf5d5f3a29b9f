package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// hosts are machines of their own as far as the network goes: network namespaces on a switch, which is two bridges in one more namespace. All are on the
// first bridge; those that are moved to the second are cut off without a word: packets to them and from them are dropped.
type hosts struct {
	t      *testing.T
	prefix string // of the names of the namespaces, which the machine knows by name
	n      int
}

// The bridges of the switch.
const (
	whole = "whole"
	apart = "apart"
)

var switches atomic.Int32 // that were made

// newHosts makes n hosts, at most 99, that all reach each other; they are gone at the end of the test, with whatever runs there. It skips the test if
// the machine does not let it.
func newHosts(t *testing.T, n int) *hosts {
	t.Helper()
	h := &hosts{t: t, prefix: fmt.Sprintf("chord-%d-%d", os.Getpid(), switches.Add(1)), n: n}
	t.Cleanup(func() {
		for _, ns := range append(h.namespaces(), h.name("switch")) {
			_ = ip(nil, "netns", "delete", ns) // it may not have come to be
		}
	})
	if err := ip(nil, "netns", "add", h.name("switch")); err != nil {
		t.Skipf("network namespaces are not to be had here: %v", err)
	}
	setUp := []string{"link add name " + whole + " type bridge", "link set " + whole + " up", "link add name " + apart + " type bridge", "link set " + apart + " up"}
	for i, ns := range h.namespaces() {
		if err := ip(nil, "netns", "add", ns); err != nil {
			t.Fatal(err)
		}
		setUp = append(setUp, fmt.Sprintf("link add name %s type veth peer name eth0 address %s netns %s", port(i), mac(i), ns),
			fmt.Sprintf("link set %s master %s up", port(i), whole))
	}
	if err := ip(setUp, "-n", h.name("switch")); err != nil {
		t.Skipf("virtual networks are not to be had here: %v", err)
	}
	for i, ns := range h.namespaces() {
		setUp := []string{"addr add " + h.addr(i) + "/24 dev eth0", "link set lo up", "link set eth0 up"}
		for j := range n {
			if j != i { // or it would find out that somebody is cut off, and say so
				setUp = append(setUp, fmt.Sprintf("neigh add %s lladdr %s dev eth0 nud permanent", h.addr(j), mac(j)))
			}
		}
		if err := ip(setUp, "-n", ns); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *hosts) name(of string) string { return h.prefix + "-" + of }

func (h *hosts) namespaces() []string {
	names := make([]string, h.n)
	for i := range names {
		names[i] = h.name(fmt.Sprint(i))
	}
	return names
}

// addr returns the IP address of a host.
func (h *hosts) addr(i int) string { return fmt.Sprintf("10.99.0.%d", i+1) }

func mac(i int) string  { return fmt.Sprintf("02:00:00:00:00:%02d", i) }
func port(i int) string { return fmt.Sprintf("port%d", i) }

// move has the first k hosts on a bridge of their own, or back on that of the others.
func (h *hosts) move(k int, bridge string) {
	h.t.Helper()
	var commands []string
	for i := range k {
		commands = append(commands, fmt.Sprintf("link set %s master %s", port(i), bridge))
	}
	if err := ip(commands, "-n", h.name("switch")); err != nil {
		h.t.Fatal(err)
	}
}

// newChordd is the function of the same name for a process that runs on a host, at the usual ports.
func (h *hosts) newChordd(i int, args ...string) *chordd {
	h.t.Helper()
	d := newChordd(h.t, fmt.Sprintf("process %d", i), append(args, "--insecure")...)
	d.listen, d.admin = h.addr(i)+":7400", h.addr(i)+":7402"
	d.within, d.dial = []string{ipProgram(), "netns", "exec", h.namespaces()[i]}, h.dialFrom(i)
	return d
}

// dialFrom returns a function that connects from a host to an address.
func (h *hosts) dialFrom(i int) func(ctx context.Context, addr string) (net.Conn, error) {
	name := filepath.Join("/run/netns", h.namespaces()[i])
	return func(ctx context.Context, addr string) (conn net.Conn, err error) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread() // for ever: the thread ends with the goroutine, because it is in the namespace
			f, e := os.Open(name)
			if err = e; err != nil {
				return
			}
			defer f.Close()
			if err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
				return
			}
			conn, err = new(net.Dialer).DialContext(ctx, "tcp4", addr) // the socket stays in the namespace where it was made
		}()
		<-done
		return conn, err
	}
}

// ipProgram returns the path of ip, which is not in that of everybody.
func ipProgram() string {
	for _, path := range []string{"ip", "/usr/sbin/ip", "/sbin/ip"} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	return "ip"
}

// ip runs the program of that name, with commands for it on its standard input if there are any.
func ip(commands []string, args ...string) error {
	if len(commands) > 0 {
		args = append(args, "-batch", "-")
	}
	cmd := exec.Command(ipProgram(), args...)
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd, err, strings.TrimSpace(string(out)))
	}
	return nil
}
