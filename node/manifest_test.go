package node_test

import (
	"testing"
	"time"

	"github.com/chordkv/chord/node"
)

// A record is a manifest because an operation made it one, whatever its bytes are; it stays so through reads, forwarding and replication, and whoever takes its place is
// told what that was, once.
func TestManifest(t *testing.T) {
	inCluster(t, 1, node.DefaultConfig(), func(c *cluster) {
		procs := c.bootstrap(4, 2)
		c.converge(30 * time.Second)
		a, b := procs[0], procs[1]
		key := []byte("large")
		get := func(p *process, bare bool) node.Result {
			return c.do(p, node.Op{Kind: node.OpGet, Key: key, Bare: bare})
		}
		wantReplaced := func(what string, r node.Result, want string) {
			if string(r.Replaced) != want {
				c.t.Errorf("%s: replaced %q, want %q", what, r.Replaced, want)
			}
		}
		manifest := func(value string) node.Op {
			return node.Op{Kind: node.OpManifest, Key: key, Value: []byte(value)}
		}

		c.put(a, "large", "m1") // what will be the bytes of a manifest
		if r := get(b, false); r.Manifest {
			c.t.Error("a put made a manifest")
		}
		wantReplaced("an ordinary value", c.do(a, manifest("m1")), "")
		for i, p := range procs {
			if r := get(p, false); !r.Manifest || string(r.Value) != "m1" {
				c.t.Errorf("get at process %d: %+v", i, r)
			}
			if r := get(p, true); !r.Found || !r.Manifest || len(r.Value) > 0 || r.Version.IsZero() {
				c.t.Errorf("bare get at process %d: %+v", i, r)
			}
		}
		for _, op := range []node.Op{
			{Kind: node.OpAppend, Key: key, Value: []byte("x")}, {Kind: node.OpPrepend, Key: key, Value: []byte("x")}, increment("large", 1),
		} {
			c.wantConflict(b, op, node.Chunked)
		}
		if r := get(a, false); !r.Manifest || string(r.Value) != "m1" {
			c.t.Errorf("after refused operations: %+v", r)
		}
		swap := manifest("m2")
		swap.If, swap.Version, swap.Request = node.IfVersion, get(a, true).Version, node.RequestID{1}
		wantReplaced("another manifest", c.do(b, swap), "m1")
		swap.Retry = true
		wantReplaced("the same again", c.do(b, swap), "")
		wantReplaced("the same manifest", c.do(a, manifest("m2")), "")
		c.wantConflict(b, manifestIf(swap, node.IfAbsent), node.Exists)

		wantReplaced("a put", c.do(b, put("large", "m2", node.Always)), "m2")
		if r := get(a, false); r.Manifest || string(r.Value) != "m2" {
			c.t.Errorf("a value in the place of a manifest with the same bytes: %+v", r)
		}
		wantReplaced("a put over that", c.do(b, put("large", "x", node.Always)), "")
		c.do(a, node.Op{Kind: node.OpAppend, Key: key, Value: []byte("y")})

		c.do(a, manifest("m3"))
		wantReplaced("a delete", c.do(b, node.Op{Kind: node.OpDelete, Key: key}), "m3")
		if r := get(a, false); r.Found || r.Manifest {
			c.t.Errorf("after the delete: %+v", r)
		}
		wantReplaced("a delete of nothing", c.do(b, node.Op{Kind: node.OpDelete, Key: key}), "")
	})
}

func manifestIf(op node.Op, c node.Condition) node.Op {
	op.If, op.Version, op.Request, op.Retry = c, node.Version{}, node.RequestID{2}, false
	return op
}
