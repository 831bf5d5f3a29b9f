package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
)

// stop sends the first signal and checks that the process ends well.
func (d *daemon) stop(t *testing.T) {
	t.Helper()
	d.signal(syscall.SIGTERM)
	if code := d.exit(t); code != cli.ExitOK {
		t.Errorf("exit code %d, want %d; the log:\n%s", code, cli.ExitOK, d.log.text())
	}
}

// A process that is stopped by SIGTERM and started again is who it was, and has what it had.
func TestRestart(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	d := startChild(t, alone(t, "--data", data)...)
	first := d.ready(t)
	put(t, first["advertise"], "hello", "world")
	d.stop(t)

	d = startChild(t, alone(t, "--data", data)...)
	second := d.ready(t)
	wantValue(t, second["advertise"], "hello", "world")
	for _, same := range []string{"cluster", "process", "vnodes", "data"} {
		if first[same] != second[same] || first[same] == "" {
			t.Errorf("%s: got %q after a restart, want %q", same, second[same], first[same])
		}
	}
	if first["incarnation"] != "1" || second["incarnation"] != "2" {
		t.Errorf("incarnations: got %s and %s, want 1 and 2", first["incarnation"], second["incarnation"])
	}
	d.stop(t)
}

// What is dubious about the settings is said, and does not keep the process from starting.
func TestWarnings(t *testing.T) {
	d := startHere(t, inMemory("--insecure", "--log-level", "warn")...)
	d.ready(t) // is logged whatever the level
	d.await(t, "--insecure: whoever reaches the addresses of this process can read and change everything")
	d.await(t, "too few processes to serve clients yet: start more of them with --join "+d.ready(t)["advertise"])
}

// hold makes a call that the server has to wait for: its message never comes.
func hold(t *testing.T, addr string) {
	t.Helper()
	conn := dial(t, addr)
	if _, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, "/chord.v1.KVService/Get"); err != nil {
		t.Fatal(err)
	}
	// It has begun when a later call on the same connection has been answered.
	if _, err := chordv1.NewKVServiceClient(conn).Get(t.Context(), &chordv1.GetRequest{Key: []byte("nothing")}); err != nil {
		t.Fatal(err)
	}
}

func TestStopTimeout(t *testing.T) {
	d := startChild(t, alone(t, "--stop-timeout", "200ms")...)
	hold(t, d.ready(t)["advertise"])
	d.stop(t)
	d.await(t, "calls were still under way when the time to stop was up")
}

func TestSecondSignalStopsNow(t *testing.T) {
	d := startChild(t, alone(t, "--stop-timeout", "1h")...)
	hold(t, d.ready(t)["advertise"])
	d.signal(syscall.SIGTERM)
	d.signal(syscall.SIGTERM) // the echo that timeout(1) makes does not count
	d.await(t, "stopping")
	select {
	case <-d.done:
		t.Fatalf("an echo of the first signal counted as a second one:\n%s", d.log.text())
	case <-time.After(2 * echoTime):
	}
	d.signal(syscall.SIGINT)
	if code := d.exit(t); code != cli.ExitInterrupted {
		t.Errorf("exit code %d, want %d", code, cli.ExitInterrupted)
	}
	if !strings.Contains(d.log.text(), "second signal") {
		t.Errorf("the log does not say why:\n%s", d.log.text())
	}
}

// A seed that is down is no reason to end, nor one that is no chordd: the process tries on, says why, and joins when there is one.
func TestJoinRetries(t *testing.T) {
	t.Run("seed comes late", func(t *testing.T) {
		addr := freePort(t)
		d := startHere(t, inMemory("--join", addr)...)
		if line := d.await(t, "not a member of the ring yet; still trying"); !strings.Contains(line["error"].(string), addr) {
			t.Errorf("the log does not name the seed: %v", line)
		}
		seed := startHere(t, inMemory("--listen", addr)...).ready(t)
		if joined := d.ready(t); joined["cluster"] != seed["cluster"] {
			t.Errorf("cluster: got %s, want %s", joined["cluster"], seed["cluster"])
		}
	})
	t.Run("the own address under another name", func(t *testing.T) {
		addr := freePort(t)
		d := startHere(t, inMemory("--listen", addr, "--join", strings.Replace(addr, "127.0.0.1", "localhost", 1))...)
		if line := d.await(t, "not a member of the ring yet; still trying"); !strings.Contains(line["error"].(string), "that is this process") {
			t.Errorf("the log does not say what is wrong: %v", line)
		}
	})
	t.Run("wrong protocol", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(conn, "220 mail.example.org ESMTP\r\n")
				_ = conn.Close()
			}
		}()
		d := startHere(t, inMemory("--join", l.Addr().String())...)
		if line := d.await(t, "not a member of the ring yet; still trying"); !strings.Contains(line["error"].(string), l.Addr().String()) {
			t.Errorf("the log does not name the seed: %v", line)
		}
		d.stop(t) // it must still run, and stop as it should
	})
	t.Run("a copy of a process that runs", func(t *testing.T) {
		dir, copied := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "data")
		startHere(t, alone(t, "--data", dir)...).stop(t)
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		d := startHere(t, alone(t, "--data", dir)...)
		addr := d.ready(t)["advertise"]
		twin := startHere(t, alone(t, "--data", copied, "--join", addr)...)
		line := twin.await(t, "not a member of the ring yet; still trying")
		if text := line["error"].(string); !strings.Contains(text, node.ErrTaken.Error()+": the one at "+addr) {
			t.Errorf("the log does not say what is wrong: %v", text)
		}
	})
}

// Three processes that know one seed each found a ring together; one that comes late joins it.
func TestBootstrapExpect(t *testing.T) {
	addrs := []string{freePort(t), freePort(t), freePort(t)}
	var ring []*daemon
	for i, addr := range addrs {
		ring = append(ring, startHere(t, inMemory("--listen", addr, "--bootstrap-expect", "3", "--join", addrs[(i+1)%3])...))
	}
	cluster := ring[0].ready(t)["cluster"]
	for _, d := range ring[1:] {
		if got := d.ready(t)["cluster"]; got != cluster {
			t.Errorf("cluster: got %s, want %s", got, cluster)
		}
	}
	put(t, addrs[0], "hello", "world")
	wantValue(t, addrs[2], "hello", "world")

	late := startHere(t, inMemory("--bootstrap-expect", "3", "--join", addrs[0])...).ready(t)
	if late["cluster"] != cluster {
		t.Errorf("cluster of the late process: got %s, want %s", late["cluster"], cluster)
	}
}

// A ring of which all processes were stopped comes back, though each looks for the others first.
func TestWholeRingRestarts(t *testing.T) {
	addrs := []string{freePort(t), freePort(t), freePort(t)}
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	start := func() (ring []*daemon, clusters []string) {
		for i, addr := range addrs {
			args := []string{"--listen", addr, "--gossip", "127.0.0.1:0", "--admin", "off", "--data", filepath.Join(dirs[i], "data"), "--vnodes", "2"}
			if i > 0 {
				args = append(args, "--join", addrs[0])
			}
			ring = append(ring, startHere(t, args...))
		}
		for _, d := range ring {
			clusters = append(clusters, d.ready(t)["cluster"])
		}
		return ring, clusters
	}
	ring, before := start()
	put(t, addrs[0], "hello", "world")
	for _, d := range ring {
		d.stop(t)
	}
	ring, after := start()
	for i := range ring {
		if after[i] != before[0] {
			t.Errorf("cluster of process %d: got %s, want %s", i, after[i], before[0])
		}
		wantValue(t, addrs[i], "hello", "world")
	}
}

// The process that founded a ring has written down who joined it before it can crash, and comes back to that ring, not to one of its own.
func TestFounderComesBackAfterCrash(t *testing.T) {
	data, addr := filepath.Join(t.TempDir(), "data"), freePort(t)
	args := []string{"--listen", addr, "--gossip", "127.0.0.1:0", "--admin", "off", "--data", data, "--vnodes", "2"}
	founder := startChild(t, args...)
	founder.ready(t)
	other := startHere(t, inMemory("--join", addr)...).ready(t)["advertise"]
	put(t, other, "hello", "world")
	for deadline := time.Now().Add(patienceForTests); ; time.Sleep(10 * time.Millisecond) {
		if text, err := os.ReadFile(filepath.Join(data, "chord.json")); err == nil && strings.Contains(string(text), other) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the founder does not write down who joined")
		}
	}
	founder.signal(syscall.SIGKILL)
	founder.exit(t)

	founder = startChild(t, args...)
	founder.ready(t)
	if strings.Contains(founder.log.text(), "starting alone") {
		t.Error("the founder started a ring of its own")
	}
	put(t, addr, "hello", "again") // needs both
	wantValue(t, other, "hello", "again")
}

// A data directory belongs to one ring for ever.
func TestWrongCluster(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	own := startHere(t, alone(t, "--data", data)...)
	cluster := own.ready(t)["cluster"]
	own.stop(t)
	other := startHere(t, inMemory()...).ready(t)
	refused(t, alone(t, "--data", data, "--join", other["advertise"]), "wrong cluster", cluster, other["cluster"], other["advertise"], "--join")
}

// Other quorums than a member's are said, but no reason to stay away: they are changed process by process.
func TestOtherQuorums(t *testing.T) {
	first := startHere(t, inMemory()...).ready(t)
	d := startHere(t, inMemory("--replicas", "5", "--write-quorum", "3", "--join", first["advertise"])...)
	d.await(t, "replicas, write-quorum and read-quorum differ from a member's: what the ring guarantees is what the weaker ones do")
	d.ready(t)
}

func TestSeedsOfTwoRings(t *testing.T) {
	one, two := startHere(t, inMemory()...).ready(t), startHere(t, inMemory()...).ready(t)
	refused(t, inMemory("--join", one["advertise"], "--join", two["advertise"]), "wrong cluster", one["cluster"], two["cluster"])
}

// With --leave-on-stop the others have everything when the process is gone.
func TestLeaveOnStop(t *testing.T) {
	first, second := pair(t, "--leave-on-stop")
	first.stop(t)
	first.await(t, "left the ring")
	wantPairValues(t, second)
}

// pairKeys are what pair stores.
var pairKeys = []string{"a", "b", "c", "d", "e", "f", "g", "h"}

// pair starts two processes, the first with more flags, that know each other and hold some keys at one of them each.
func pair(t *testing.T, more ...string) (first *daemon, second map[string]string) {
	t.Helper()
	quorum := []string{"--replicas", "2", "--write-quorum", "1", "--read-quorum", "1"}
	first = startHere(t, append(inMemory(append(quorum, more...)...), "--admin", "127.0.0.1:0")...)
	ready := first.ready(t)
	second = startHere(t, inMemory(append(quorum, "--join", ready["advertise"])...)...).ready(t)
	for deadline := time.Now().Add(patienceForTests); ; time.Sleep(10 * time.Millisecond) {
		if _, body := get(t, ready["admin"]+"readyz?verbose"); strings.Contains(body, "2 processes known for each key") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the first process does not hear of the second")
		}
	}
	for _, key := range pairKeys {
		put(t, ready["advertise"], key, "value of "+key)
	}
	return first, second
}

func wantPairValues(t *testing.T, second map[string]string) {
	t.Helper()
	for _, key := range pairKeys {
		wantValue(t, second["advertise"], key, "value of "+key)
	}
}
