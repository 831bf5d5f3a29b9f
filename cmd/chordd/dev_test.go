package main

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/chordkv/chord/internal/cli"
)

// startDevForTest starts the ring of --dev on ports that are free.
func startDevForTest(t *testing.T) devRing {
	t.Helper()
	s := newSettings()
	if err := s.flags.Parse([]string{"--dev", "--listen", "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	if err := s.load(nil); err != nil {
		t.Fatal(err)
	}
	d, err := startDev(s.cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	stop, end := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- d.run(stop, context.Background()) }()
	t.Cleanup(func() {
		end()
		if err := <-done; err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return d
}

func TestDev(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	t.Run("ring", func(t *testing.T) {
		d := startDevForTest(t)
		if len(d) != 5 {
			t.Fatalf("got %d processes, want 5", len(d))
		}
		put(t, d[0].local.Addr, "hello", "world")
		for _, p := range d {
			wantValue(t, p.local.Addr, "hello", "world")
			if r := p.readiness(); !r.ok() {
				t.Errorf("%s: not ready at once: %+v", p.local.Addr, r)
			}
		}
		for _, path := range []string{"/healthz", "/readyz", "/metrics", "/"} {
			resp, err := http.Get("http://" + d[4].admin.Addr().String() + path)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("%s: %s", path, resp.Status)
			}
		}
		http.DefaultClient.CloseIdleConnections()
	})
	goleak.VerifyNone(t, leaks)
}

// What --dev prints can be typed.
func TestDevWelcome(t *testing.T) {
	d := startDevForTest(t)
	var b bytes.Buffer
	d.welcome(&b)
	server := " --server " + d[0].local.Addr
	for _, want := range []string{
		"5 processes with 8 nodes each", d[4].local.Addr, "http://" + d[4].admin.Addr().String() + "/", "Ctrl-C",
		"go run ./cmd/chord" + server + " put hello world\n", server + " get hello\n", server + " lookup hello --trace\n", server + " ring\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
}

func TestDevStopsOnSignal(t *testing.T) {
	d := startChild(t, "--dev", "--listen", "127.0.0.1:0", "--dev-nodes", "3")
	for {
		lines, more := d.stdout.since(0)
		if len(lines) > 0 && strings.Contains(lines[len(lines)-1], "Ctrl-C") {
			break
		}
		select {
		case <-more:
		case <-d.done:
			t.Fatalf("ended: %s", d.log.text())
		}
	}
	d.signal(syscall.SIGINT)
	if code := d.exit(t); code != cli.ExitOK {
		t.Errorf("exit code %d, want %d", code, cli.ExitOK)
	}
	if log := d.log.text(); log != "" {
		t.Errorf("a quiet ring logged:\n%s", log)
	}
}

// The addresses of --dev are those of the defaults, ten ports apart.
func TestDevAddresses(t *testing.T) {
	cfg := DefaultConfig()
	for i, want := range []struct{ listen, gossip, admin string }{
		{"127.0.0.1:7400", "127.0.0.1:7401", "127.0.0.1:7402"},
		{"127.0.0.1:7410", "127.0.0.1:7411", "127.0.0.1:7412"},
		{"127.0.0.1:7420", "127.0.0.1:7421", "127.0.0.1:7422"},
	} {
		if got := cfg.forDev(i); got.Listen != want.listen || got.gossipAddr() != want.gossip || got.Admin != want.admin {
			t.Errorf("process %d: got %s, %s and %s, want %+v", i, got.Listen, got.gossipAddr(), got.Admin, want)
		}
	}
}
