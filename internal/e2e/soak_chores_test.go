package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
)

// chore is something that is done over and over during a soak, besides the workload.
type chore struct {
	name string
	rest time.Duration // in between
	// do is done for the n-th time. errTrouble among its errors means that the ring could not serve, which happens while processes come and go; any other is a wrong result.
	do func(ctx context.Context, n int) error

	done, troubles int
	last           error // of the troubles
}

var errTrouble = errors.New("not served")

// trouble marks an error of an operation as one that may happen.
func trouble(err error) error {
	if err != nil {
		err = fmt.Errorf("%w: %w", errTrouble, err)
	}
	return err
}

// run does the chore until the time is over, but not while the workload has to be quiet.
func (c *chore) run(ctx context.Context, t *testing.T, w *workload) {
	for n := 0; ctx.Err() == nil; n++ {
		w.quiet.RLock()
		err := c.do(context.WithoutCancel(ctx), n)
		w.quiet.RUnlock()
		switch {
		case err == nil:
			c.done++
		case errors.Is(err, errTrouble):
			c.troubles++
			c.last = err
		default:
			t.Errorf("%s, round %d: %v", c.name, n, err)
		}
		select {
		case <-time.After(c.rest):
		case <-ctx.Done():
		}
	}
}

// newChores returns everything that the workload does not do, through processes that stay.
func newChores(t *testing.T, stay []*chordd) []*chore {
	t.Helper()
	client, err := rpc.NewClient(rpc.DefaultClientConfig(stay[0].listen, stay[1].listen))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	r := residents{client: client, servers: stay[0].listen + "," + stay[1].listen, one: stay[0].listen, dir: t.TempDir()}
	return []*chore{
		{name: "keys that expire", rest: 20 * time.Millisecond, do: r.expire},
		{name: "batches", rest: 50 * time.Millisecond, do: r.batches},
		{name: "large values", rest: 200 * time.Millisecond, do: r.large},
		{name: "watch", do: r.watch},
		{name: "export", rest: time.Second, do: r.export},
		{name: "status", rest: time.Second, do: r.command("status")},
		{name: "ring", rest: time.Second, do: r.command("ring")},
		{name: "lookup", rest: time.Second, do: r.command("lookup", "batch-1", "--trace")},
		{name: "repair", rest: 2 * time.Second, do: r.command("repair")},
		{name: "backup", rest: 2 * time.Second, do: r.backup},
	}
}

// residents use the ring all the time. Each key has one writer, which knows what it may be.
type residents struct {
	client   *rpc.Client
	servers  string // of those that stay, and one of them
	one      string
	dir      string // for files
	expiring [32]register
	batch    [64]register
	watched  node.Version
}

// expire writes a key that goes by itself, half of the time so that it is gone at the next turn, and looks.
func (r *residents) expire(ctx context.Context, n int) error {
	k := &r.expiring[n%len(r.expiring)]
	key, value, ttl := fmt.Appendf(nil, "expiring-%d", n%len(r.expiring)), fmt.Sprint("value ", n), time.Hour
	if n/len(r.expiring)%2 == 0 {
		ttl = 100 * time.Millisecond
	}
	_, err := r.client.PutFor(ctx, key, []byte(value), ttl, node.LevelQuorum)
	k.wrote(value, err)
	got, readErr := r.client.Get(ctx, key, node.LevelQuorum)
	if err := trouble(errors.Join(err, readErr)); err != nil {
		return err
	}
	if gone := !got.Found && ttl < time.Hour; !gone && !k.allows(string(got.Value)) {
		return fmt.Errorf("%s is %q, want %q", key, got.Value, k.last)
	}
	return nil
}

// wrote notes what came of a write.
func (r *register) wrote(value string, err error) {
	var failed *rpc.OpError
	if err == nil {
		r.last = value
	} else if !errors.As(err, &failed) || failed.Outcome != rpc.NotApplied {
		r.unknown = append(r.unknown, value)
	}
}

// batches writes or deletes many keys, and reads them.
func (r *residents) batches(ctx context.Context, n int) error {
	keys, pairs := make([][]byte, len(r.batch)), make([]rpc.Pair, len(r.batch))
	value := fmt.Sprint("value ", n)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "batch-%d", i)
		pairs[i] = rpc.Pair{Key: keys[i], Value: []byte(value)}
	}
	var answers []node.Answer
	if n%5 == 4 {
		value, answers = "", r.client.DeleteMany(ctx, keys, node.LevelQuorum)
	} else {
		answers = r.client.PutMany(ctx, pairs, node.LevelQuorum)
	}
	var errs []error
	for i, a := range answers {
		r.batch[i].wrote(value, a.Err)
		errs = append(errs, a.Err)
	}
	for i, a := range r.client.GetMany(ctx, keys, node.LevelQuorum) {
		errs = append(errs, a.Err)
		if k := &r.batch[i]; a.Err == nil && !k.allows(string(a.Result.Value)) {
			return fmt.Errorf("%s is %q, want %q", keys[i], a.Result.Value, k.last)
		}
	}
	return trouble(errors.Join(errs...))
}

// large stores a file in blocks, reads it, and deletes it.
func (r *residents) large(ctx context.Context, n int) error {
	content := bytes.Repeat(sha256.New().Sum(fmt.Append(nil, n, rand.Uint64())), 20<<10) // about a MiB
	file, back, key := filepath.Join(r.dir, "large"), filepath.Join(r.dir, "back"), fmt.Sprint("large-", n%2)
	if err := os.WriteFile(file, content, 0o644); err != nil {
		return err
	}
	if err := r.run(ctx, "put", "--chunked", key, file); err != nil {
		return err
	}
	if err := r.run(ctx, "get", key, "--to", back); err != nil {
		return err
	}
	defer os.Remove(back) // or the next would go on with it
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, content) {
		return fmt.Errorf("%s: %d bytes are not the %d that were stored, %w", key, len(got), len(content), err)
	}
	if n%3 == 2 {
		return r.run(ctx, "del", key)
	}
	return nil
}

// watch looks at a key that is written all the time, from where it was.
func (r *residents) watch(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var older error
	err := r.client.Watch(ctx, []byte("batch-0"), r.watched, func(got node.Result) error {
		if !got.Version.Newer(r.watched) {
			older = fmt.Errorf("version %v was told after %v", got.Version, r.watched)
		}
		r.watched = got.Version
		return older
	})
	if older != nil || ctx.Err() != nil {
		return older
	}
	return trouble(err)
}

func (r *residents) export(ctx context.Context, n int) error {
	return r.run(ctx, "export", filepath.Join(r.dir, "export"), "--force")
}

func (r *residents) backup(ctx context.Context, n int) error {
	dir := filepath.Join(r.dir, "backup")
	return errors.Join(run(ctx, r.one, "backup", dir), os.RemoveAll(dir))
}

// command returns a chore that is one command for one process.
func (r *residents) command(args ...string) func(context.Context, int) error {
	return func(ctx context.Context, n int) error { return run(ctx, r.one, args...) }
}

// run runs a command for any process.
func (r *residents) run(ctx context.Context, args ...string) error {
	return run(ctx, r.servers, args...)
}

// run runs a command. What it prints is its own tests' business.
func run(ctx context.Context, servers string, args ...string) error {
	out, err := tryChord(ctx, nil, append(args, "--server", servers, "--no-progress")...)
	if err != nil {
		return err
	}
	err = fmt.Errorf("chord %v: exit code %d: %s", args, out.code, out.stderr)
	switch out.code {
	case 0:
		return nil
	case 1, 5, 6, 8: // some failure, unavailable, timeout or unknown, too few replicas
		return trouble(err)
	}
	return err
}
