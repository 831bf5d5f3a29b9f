package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// TestPartition cuts seven of twenty processes off from the rest, without a word, while clients write on both sides. As soon as gossip has noticed, the seven refuse
// writes by quorum; the thirteen go on. Within half a minute of healing there is one ring, in which every write that was ever acknowledged is read. The cut lasts
// for 25 s, or what CHORD_PARTITION says.
func TestPartition(t *testing.T) {
	needPrograms(t)
	lasts := 25 * time.Second
	if text := os.Getenv("CHORD_PARTITION"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	const few, n = 7, 20
	h := newHosts(t, n)
	processes := make([]*chordd, n)
	for i := range processes {
		processes[i] = h.newChordd(i, "--vnodes", "4")
		if i == 0 {
			processes[0].start()
			waitReady(t, processes[0])
		} else {
			processes[i].start("--join", processes[0].listen)
		}
	}
	waitReady(t, processes...)
	all := observe(t, processes)
	waitFor(t, "known to all by gossip", all, func(o observer) error { return o.gossips(t, n) })
	eventually(t, 20*time.Second, "one ring", func() error { return oneRing(t, all) })

	minority, majority := startWriters(t, "minority", processes[:few]), startWriters(t, "majority", processes[few:])
	time.Sleep(time.Second) // of writing all over the ring

	h.move(few, apart)
	cut := time.Now()
	waitFor(t, "in the minority", all[:few], func(o observer) error { return o.minority(t, true) })
	noticed := time.Now()
	waitFor(t, "in the majority without the others", all[few:], func(o observer) error {
		return errors.Join(o.minority(t, false), o.gossips(t, n-few))
	})
	// Until then what one of them passes on may go to a process that is out of reach, and its outcome is unknown.
	waitFor(t, "in the minority without the others", all[:few], func(o observer) error { return o.gossips(t, few) })
	out := chordWithin(t, processes[0].within, "put", "hello", "world", "--server", processes[0].listen)
	if out.code != 5 || !strings.Contains(out.stderr, node.ErrMinority.Error()) {
		t.Errorf("chord put in the minority: exit code %d, %q; want 5 and %q", out.code, out.stderr, node.ErrMinority)
	}
	settled := time.Now().Add(2 * time.Second) // for the rings and the clients, which hear of it last
	time.Sleep(max(time.Until(cut.Add(lasts)), 5*time.Second))

	h.move(few, whole)
	healed := time.Now()
	eventually(t, 30*time.Second, "one ring", func() error { return oneRing(t, all) })
	waitFor(t, "out of the minority", all[:few], func(o observer) error { return o.minority(t, false) })
	minority.checkRefused(t, noticed, settled, healed)
	majority.checkServed(t, settled, healed)
	eventually(t, 10*time.Second, "writing everywhere", func() error { return errors.Join(minority.works(), majority.works()) })
	minority.stop()
	majority.stop()
	for _, reader := range []*writers{minority, majority} {
		eventually(t, 20*time.Second, "with all that was acknowledged, to the "+reader.name, func() error {
			return errors.Join(reader.reads(t, minority), reader.reads(t, majority))
		})
	}
}

// minority returns nil if the process thinks that it is in the minority, or not, as is wanted.
func (o observer) minority(t *testing.T, want bool) error {
	s, err := o.status(t)
	if err == nil && s.GetGossip().GetMinority() != want {
		err = fmt.Errorf("%s hears that %d are dead; in the minority: %v, want %v", o.name, s.GetGossip().GetDead(), !want, want)
	}
	return err
}

// oneRing returns nil if the nodes of all the processes are one ring with every list as it should be.
func oneRing(t *testing.T, all []observer) error {
	ref := func(r *chordv1.Ref) ring.Ref { return ring.Ref{ID: ring.ID(r.GetId()), Addr: r.GetAddr()} }
	var views []ring.View
	for _, o := range all {
		s, err := o.status(t)
		if err != nil {
			return err
		}
		for _, n := range s.GetNodes() {
			v := ring.View{Self: ref(n.GetSelf()), Pred: ref(n.GetPredecessor())}
			for _, succ := range n.GetSuccessors() {
				v.Succs = append(v.Succs, ref(succ))
			}
			views = append(views, v)
		}
	}
	return ring.CheckIdeal(views, node.DefaultConfig().Successors)
}

// writers write unique keys, one after the other each, through a client on the host of the first of some processes, and remember what came of it.
type writers struct {
	name   string
	client *rpc.Client
	stop   func()

	mu   sync.Mutex
	done []write // by the time of their end
}

type write struct {
	key          string
	began, ended time.Time
	err          error
}

func startWriters(t *testing.T, name string, servers []*chordd) *writers {
	t.Helper()
	var addrs []string
	for _, d := range servers {
		addrs = append(addrs, d.listen)
	}
	cfg := rpc.DefaultClientConfig(addrs...)
	cfg.DialOptions = []grpc.DialOption{grpc.WithContextDialer(servers[0].dial)}
	client, err := rpc.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	w := &writers{name: name, client: client}
	var writing sync.WaitGroup
	for i := range 8 {
		writing.Go(func() {
			for k := 0; ctx.Err() == nil; k++ {
				w.write(fmt.Sprintf("%s-%d-%d", name, i, k))
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	w.stop = sync.OnceFunc(func() {
		cancel()
		writing.Wait()
	})
	t.Cleanup(w.stop)
	return w
}

func (w *writers) write(key string) {
	began := time.Now()
	_, err := w.client.Put(context.Background(), []byte(key), []byte(key), node.LevelQuorum)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = append(w.done, write{key, began, time.Now(), err})
}

// between returns the writes that began after one time and ended before another.
func (w *writers) between(after, before time.Time) (done []write) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.done {
		if d.began.After(after) && d.ended.Before(before) {
			done = append(done, d)
		}
	}
	return done
}

// checkRefused fails if a write was acknowledged after the processes had noticed that they are few, or none was refused, or one for another reason than the right
// one after all had settled: before that, clients and processes still wait for some that they do not reach any more.
func (w *writers) checkRefused(t *testing.T, noticed, settled, healed time.Time) {
	t.Helper()
	refused := 0
	for _, d := range w.between(noticed, healed) {
		switch {
		case d.err == nil:
			t.Errorf("%s: the write of %s was acknowledged %v after gossip had noticed", w.name, d.key, d.ended.Sub(noticed))
		case errors.Is(d.err, node.ErrMinority) && !errors.Is(d.err, node.ErrUnknown):
			refused++
		case d.began.After(settled):
			t.Errorf("%s: the write of %s failed with %v, want %v", w.name, d.key, d.err, node.ErrMinority)
		}
	}
	t.Logf("%s: %d writes refused in %v", w.name, refused, healed.Sub(noticed))
	if refused == 0 {
		t.Errorf("%s: no write was refused", w.name)
	}
}

// checkServed fails if a write between two times was not acknowledged, or there was none.
func (w *writers) checkServed(t *testing.T, after, before time.Time) {
	t.Helper()
	done := w.between(after, before)
	for _, d := range done {
		if d.err != nil {
			t.Errorf("%s: the write of %s failed: %v", w.name, d.key, d.err)
		}
	}
	t.Logf("%s: %d writes in %v", w.name, len(done), before.Sub(after))
	if len(done) == 0 {
		t.Errorf("%s: nothing was written", w.name)
	}
}

// works returns nil if a write of the last second was acknowledged.
func (w *writers) works() error {
	for _, d := range slices.Backward(w.between(time.Now().Add(-time.Second), time.Now())) {
		if d.err == nil {
			return nil
		}
	}
	return fmt.Errorf("nothing was acknowledged to the %s", w.name)
}

// reads returns nil if every write that was acknowledged to some writers is read by the client of these.
func (w *writers) reads(t *testing.T, by *writers) error {
	acknowledged := slices.DeleteFunc(by.between(time.Time{}, time.Now()), func(d write) bool { return d.err != nil })
	errs := make([]error, len(acknowledged))
	const together = 100
	var reading sync.WaitGroup
	for first := range together {
		reading.Go(func() {
			for i := first; i < len(acknowledged); i += together {
				key := acknowledged[i].key
				r, err := w.client.Get(t.Context(), []byte(key), node.LevelQuorum)
				if err != nil || string(r.Value) != key {
					errs[i] = fmt.Errorf("%s is %q, error %w", key, r.Value, err)
				}
			}
		})
	}
	reading.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	t.Logf("%d writes that were acknowledged to the %s are read by the %s", len(acknowledged), by.name, w.name)
	return nil
}
