package e2e

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestGarbageAtThePort sends random bytes and the beginnings of real conversations to a process that is serving.
func TestGarbageAtThePort(t *testing.T) {
	needPrograms(t)
	d := startRing(t, 3, "--vnodes", "2")[0]
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	random := make([]byte, 64<<10)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	for i, garbage := range []string{
		"", "\x00", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01", string(random),
		preface[:10], preface, preface + settings[:4], preface + settings + string(random),
		preface + settings + "\x00\x00\x05\x01\x04\x00\x00\x00\x01trunc",
		preface + settings + "\xff\xff\xff\x00\x00\x00\x00\x00\x01", // a data frame of 16 MiB that never comes
		"\xf4\x20" + strings.Repeat("0", 32) + "\x04",               // gossip of another cluster
	} {
		for _, to := range [][2]string{{"tcp", d.listen}, {"tcp", d.admin}, {"tcp", d.gossip()}, {"udp", d.gossip()}} {
			conn, err := net.Dial(to[0], to[1])
			if err != nil {
				t.Fatalf("garbage %d: %v", i, err)
			}
			_, _ = conn.Write([]byte(garbage)) // the process may hang up at once
			defer conn.Close()                 // half of the conversation stays open during the rest of the test
		}
		key := fmt.Sprintf("key %d", i)
		mustChord(t, "put", key, "value", "--server", d.listen)
		if got := mustChord(t, "get", key, "--server", d.listen); got != "value" {
			t.Errorf("get after garbage %d = %q, want %q", i, got, "value")
		}
	}
	if err := d.ready(); err != nil {
		t.Error(err)
	}
	if log := d.tail(1 << 20); strings.Contains(log, "panic") {
		t.Errorf("the log has a panic:\n%s", log)
	}
}

// TestNotAChordd points the command line and a joining process at a web server.
func TestNotAChordd(t *testing.T) {
	needPrograms(t)
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	addr := strings.TrimPrefix(web.URL, "http://")

	out := chord(t, "get", "hello", "--server", addr, "--timeout", "2s")
	if out.code != 5 || !strings.Contains(out.stderr, addr) || !strings.Contains(out.stderr, "not as a chordd") {
		t.Errorf("get from a web server: exit code %d, %q; want 5 and that it is no chordd", out.code, out.stderr)
	}

	d := newChordd(t, "joining")
	d.start("--join", addr)
	eventually(t, 10*time.Second, "complaining about the seed", func() error {
		if log := d.tail(64 << 10); !strings.Contains(log, addr) {
			return fmt.Errorf("the log does not name %s:\n%s", addr, log)
		}
		return nil
	})
	if !d.running() {
		t.Errorf("a seed that is no chordd ended the process:\n%s", d.tail(4<<10))
	}
	if err := d.ready(); err == nil {
		t.Error("ready without a ring")
	}
	if code := d.terminate(10 * time.Second); code != 0 {
		t.Errorf("exit code %d after SIGTERM while joining, want 0", code)
	}
}

// TestDeadServer: nobody listens there.
func TestDeadServer(t *testing.T) {
	needPrograms(t)
	addr := freeAddr(t)
	out := chord(t, "put", "hello", "world", "--server", addr, "--timeout", "2s")
	if out.code != 5 || !strings.Contains(out.stderr, addr) || !strings.Contains(out.stderr, "chordd") {
		t.Errorf("put at a dead server: exit code %d, %q; want 5, the address and what to try", out.code, out.stderr)
	}
	out = chord(t, "get", "hello", "--server", addr, "--timeout", "2s", "-o", "json")
	if out.code != 5 || !strings.Contains(out.stderr, `"code":"UNAVAILABLE"`) {
		t.Errorf("get -o json at a dead server: exit code %d, %q; want 5 and UNAVAILABLE", out.code, out.stderr)
	}
}

// TestForeignCluster: a process never joins, nor talks to, a ring that it does not belong to.
func TestForeignCluster(t *testing.T) {
	needPrograms(t)
	one := startRing(t, 1, "--replicas", "1", "--write-quorum", "1", "--read-quorum", "1")[0]
	other := startRing(t, 1, "--replicas", "1", "--write-quorum", "1", "--read-quorum", "1")[0]
	mustChord(t, "put", "hello", "world", "--server", other.listen)
	if code := other.terminate(10 * time.Second); code != 0 {
		t.Fatalf("exit code %d, want 0", code)
	}
	other.start("--join", one.listen)
	if code := other.wait(10 * time.Second); code == 0 || !strings.Contains(other.tail(4<<10), "cluster") {
		t.Errorf("joining a foreign ring: exit code %d, log %s; want another and the reason", code, other.tail(4<<10))
	}
	other.start()
	waitReady(t, other)
	if got := mustChord(t, "get", "hello", "--server", other.listen); got != "world" {
		t.Errorf("get after the refused join = %q, want %q", got, "world")
	}
}
