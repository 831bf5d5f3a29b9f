package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
)

// TestKeysExpire: keys expire at all processes, also at one that was killed before and has older values of them, and their values leave the stores.
func TestKeysExpire(t *testing.T) {
	needPrograms(t)
	t.Parallel() // most of the time is waiting
	const keys = 100
	ring := startRing(t, 4, "--vnodes", "2", "--gossip", "off")
	waitSettled(t, ring...)
	clients := make([]*rpc.Client, len(ring))
	for i, d := range ring {
		var err error
		if clients[i], err = rpc.NewClient(rpc.DefaultClientConfig(d.listen)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { clients[i].Close() })
	}
	key := func(i int) []byte { return fmt.Append(nil, "key", i) }
	do := func(r node.Result, err error) node.Result {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for i := range keys {
		do(clients[0].Put(t.Context(), key(i), []byte("old"), node.LevelAll))
	}
	away := ring[3]
	away.kill()
	waitSettled(t, ring[:3]...)
	var last time.Time
	for i := range keys {
		r := do(clients[1].PutFor(t.Context(), key(i), []byte("new"), time.Minute, node.LevelQuorum))
		if again := do(clients[2].Get(t.Context(), key(i), node.LevelQuorum)); again.Expires != r.Expires || string(again.Value) != "new" || again.Left <= 0 || again.Left > time.Minute {
			t.Fatalf("got %+v, put %+v", again, r)
		}
		// So that it is soon over, however long all that has taken.
		last = time.UnixMilli(do(clients[0].Touch(t.Context(), key(i), 2*time.Second, node.LevelQuorum)).Expires)
	}
	eventually(t, time.Minute, "the last key expires", func() error {
		if r := do(clients[0].Get(t.Context(), key(keys-1), node.LevelQuorum)); r.Found {
			return fmt.Errorf("it is there: %+v", r)
		}
		return nil
	})
	if time.Now().Before(last) {
		t.Errorf("it has expired %v too early", time.Until(last))
	}
	away.start()
	waitReady(t, away)
	waitSettled(t, ring...)
	for i := range keys {
		for j, c := range clients {
			if r := do(c.Get(t.Context(), key(i), []node.Level{node.LevelOne, node.LevelQuorum, node.LevelAll}[(i+j)%3])); r.Found {
				t.Errorf("%q is there: %+v", key(i), r)
			}
		}
	}
	if _, err := clients[3].Touch(t.Context(), key(0), time.Hour, node.LevelQuorum); !errors.Is(err, node.ErrCondition) {
		t.Errorf("touch of a key that has expired: %v", err)
	}
	eventually(t, time.Minute, "the values are removed", func() error {
		for _, d := range ring {
			metrics, err := d.get("/metrics")
			if err != nil {
				return err
			}
			if strings.Contains(metrics, "\nchord_store_tombstones 0\n") || !strings.Contains(metrics, "\nchord_store_expiring 0\n") {
				return fmt.Errorf("%s has values that have expired", d.name)
			}
		}
		return nil
	})
}

// TestExpiryIsExported: the commands set and show when a key expires, an export keeps it, and an import sets it again.
func TestExpiryIsExported(t *testing.T) {
	needPrograms(t)
	ring := startRing(t, 3, "--vnodes", "2")
	waitSettled(t, ring...)
	run := func(args ...string) string {
		t.Helper()
		return mustChord(t, append(args, "--server", ring[1].listen)...)
	}
	expires := func() string {
		t.Helper()
		var got struct {
			Expires string `json:"expires"`
			TTL     int64  `json:"ttl_ms"`
		}
		out := run("ttl", "session", "-o", "json")
		if err := json.Unmarshal([]byte(out), &got); err != nil || got.Expires == "" || got.TTL <= 0 || got.TTL > time.Hour.Milliseconds() {
			t.Fatalf("ttl printed %s (%v)", out, err)
		}
		return got.Expires
	}
	run("put", "session", "abc", "--ttl", "1h")
	run("put", "stays", "here")
	was := expires()
	if left, err := time.ParseDuration(strings.TrimSpace(run("ttl", "session"))); err != nil || left <= 0 || left > time.Hour {
		t.Errorf("%v is left (%v)", left, err)
	}
	dump := filepath.Join(t.TempDir(), "dump.jsonl")
	run("export", dump)
	raw, err := os.ReadFile(dump)
	if err != nil || strings.Count(string(raw), `"expires"`) != 1 || !strings.Contains(string(raw), fmt.Sprintf(`"expires":%q`, was)) {
		t.Errorf("the export is %s (%v), want it to have %s", raw, err, was)
	}
	run("touch", "session", "--ttl", "forever")
	if out := run("ttl", "session"); out != "forever\n" {
		t.Errorf("ttl printed %q", out)
	}
	run("import", dump)
	if now := expires(); now != was {
		t.Errorf("expires at %s after the import, was %s", now, was)
	}
	run("touch", "session", "--ttl", "1ms")
	eventually(t, 10*time.Second, "the key expires", func() error {
		if out := chord(t, "ttl", "session", "--server", ring[2].listen); out.code != 3 {
			return fmt.Errorf("exit code %d: %s", out.code, out.stdout)
		}
		return nil
	})
	if out := chord(t, "touch", "session", "--ttl", "1h", "--server", ring[0].listen); out.code != 4 {
		t.Errorf("touch of a key that has expired: exit code %d, %s", out.code, out.stderr)
	}
	if out := run("get", "stays"); out != "here" {
		t.Errorf("got %q", out)
	}
}
