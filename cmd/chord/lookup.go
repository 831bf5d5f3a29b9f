package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

func newLookup(a *app) *cobra.Command {
	var (
		key   keyFlags
		trace bool
		style string
	)
	cmd := &cobra.Command{
		Use:   "lookup KEY",
		Short: "Find the nodes that hold a key",
		Long: `Find the node that owns a key, and its replicas, by the ring's own protocol: from node to node,
each closer to the key.

The key need not exist: its place on the ring is the start of its SHA-256. --trace shows every
call on the way.

With --style recursive it is the process at --server that looks the key up, by way of its admin
listener: each node calls the next, and the owner answers the process. Of such a call only the
node that made it knows how long it took.`,
		Example: `  chord lookup hello
  chord lookup hello --trace
  chord lookup hello --trace --style recursive
  chord lookup hello -o json`,
		Args: key.count(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, _, err := key.take(args)
			if err != nil {
				return err
			}
			s, err := node.ParseStyle(style)
			if err != nil {
				return cli.Usagef("--style %q: want iterative or recursive", style)
			}
			return a.lookup(cmd.Context(), k, s, trace)
		},
	}
	key.add(cmd)
	cmd.Flags().BoolVar(&trace, "trace", false, "show each hop: node, address, arc, round-trip time")
	cmd.Flags().StringVar(&style, "style", node.Iterative.String(), "iterative or recursive: who calls the next node, the one that asks or the one before")
	cli.CompleteWith(cmd, "style", node.Iterative.String(), node.Recursive.String())
	return cmd
}

// refJSON is a node in JSON.
type refJSON struct {
	ID   string `json:"id"`
	Addr string `json:"addr"`
}

func refOf(r ring.Ref) refJSON { return refJSON{r.ID.String(), r.Addr} }

func refsOf(refs []ring.Ref) []refJSON {
	out := make([]refJSON, len(refs))
	for i, r := range refs {
		out[i] = refOf(r)
	}
	return out
}

type arcJSON struct {
	After   string `json:"after"`
	Through string `json:"through"`
}

func arcOf(a ring.Arc) *arcJSON {
	if a == (ring.Arc{}) {
		return nil
	}
	return &arcJSON{a.After.String(), a.Through.String()}
}

type hopJSON struct {
	Node  refJSON  `json:"node"`
	Arc   *arcJSON `json:"arc,omitempty"`
	RTTNS int64    `json:"rtt_ns"`
	Ends  bool     `json:"covered"`
	Error string   `json:"error,omitempty"`
}

type lookupJSON struct {
	jsonPair
	ID        string    `json:"id"`
	Owner     refJSON   `json:"owner"`
	Arc       *arcJSON  `json:"arc"`
	Replicas  []refJSON `json:"replicas"`
	Hops      []hopJSON `json:"hops"`
	ElapsedNS int64     `json:"elapsed_ns"`
}

func (a *app) lookup(ctx context.Context, key []byte, style node.Style, trace bool) error {
	return a.withClient(ctx, func(ctx context.Context, c client) error {
		if err := checkPair(ctx, c, pair{key: key}); err != nil {
			return fmt.Errorf("lookup %s: %w", quoteKey(key), err)
		}
		t, err := a.find(ctx, c, style, key)
		if err != nil {
			if trace && !a.json() {
				a.printHops(t)
			}
			return err
		}
		if a.json() {
			return a.printJSON(lookupResult(key, t))
		}
		if trace {
			a.printHops(t)
		}
		fmt.Fprintf(a.stdout, "key %s is at %s\n", quoteKey(key), t.ID)
		fmt.Fprintf(a.stdout, "owner    %s  %s  arc %s\n", t.Owner.Self.ID.Short(), t.Owner.Self.Addr, t.Owner.Arc())
		for _, r := range t.Group[min(1, len(t.Group)):] {
			fmt.Fprintf(a.stdout, "replica  %s  %s\n", r.ID.Short(), r.Addr)
		}
		a.printf("found in %s with %s\n", roundDuration(t.Elapsed), plural(int64(len(t.Hops)), "call"))
		return nil
	})
}

// find looks a key up: from here, or from the process at --server if that is to be recursive.
func (a *app) find(ctx context.Context, c client, style node.Style, key []byte) (t rpc.Trace, err error) {
	if style == node.Iterative {
		return c.Lookup(ctx, ring.Hash(key), nil)
	}
	err = a.withAdmin(ctx, func(ctx context.Context, c adminConn) error {
		m, err := call(ctx, c, "lookup "+quoteKey(key), a.globals.timeout, c.Trace,
			&chordv1.TraceRequest{Key: key, Style: chordv1.LookupStyle_LOOKUP_STYLE_RECURSIVE})
		t = traceOfWire(ring.Hash(key), m)
		return err
	})
	return t, err
}

func traceOfWire(id ring.ID, m *chordv1.TraceResponse) rpc.Trace {
	t := rpc.Trace{
		ID: id, Owner: ring.View{Self: refOfWire(m.GetOwner())}, Group: refsOfWire(m.GetGroup()), Elapsed: time.Duration(m.GetElapsedNs()),
	}
	copy(t.Owner.Pred.ID[:], m.GetArc().GetAfter())
	for _, h := range m.GetHops() {
		hop := rpc.Hop{Node: refOfWire(h.GetNode()), Covered: h.GetCovered(), RTT: time.Duration(h.GetRttNs())}
		if h.GetArc() != nil {
			hop.Settled, hop.Arc = true, t.Owner.Arc()
		}
		if h.GetError() != "" {
			hop.Err = errors.New(h.GetError())
		}
		t.Hops = append(t.Hops, hop)
	}
	return t
}

func lookupResult(key []byte, t rpc.Trace) lookupJSON {
	out := lookupJSON{
		ID: t.ID.String(), Owner: refOf(t.Owner.Self), Arc: arcOf(t.Owner.Arc()), Replicas: refsOf(t.Group),
		Hops: make([]hopJSON, len(t.Hops)), ElapsedNS: int64(t.Elapsed),
	}
	out.Key, out.KeyBase64 = textOrBase64(key)
	for i, h := range t.Hops {
		out.Hops[i] = hopJSON{Node: refOf(h.Node), Arc: arcOf(h.Arc), RTTNS: int64(h.RTT), Ends: h.Covered}
		if h.Err != nil {
			out.Hops[i].Error = h.Err.Error()
		}
	}
	return out
}

// printHops shows the calls of a lookup in order.
func (a *app) printHops(t rpc.Trace) {
	tw := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "hop\tnode\taddress\tarc\trtt\tanswer")
	for i, h := range t.Hops {
		id, arc, rtt := h.Node.ID.Short(), "-", "-"
		if h.Node.ID.IsZero() {
			id = "?"
		}
		if h.Arc != (ring.Arc{}) {
			arc = h.Arc.String()
		}
		if h.RTT > 0 {
			rtt = roundDuration(h.RTT)
		}
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\t%s\n", i+1, id, h.Node.Addr, arc, rtt, hopAnswer(h))
	}
	tw.Flush()
}

func hopAnswer(h rpc.Hop) string {
	switch {
	case h.Err != nil:
		return "failed: " + h.Err.Error()
	case h.Settled && h.Covered:
		return "owns the key"
	case h.Settled:
		return "does not own the key"
	case h.Covered:
		return "knows the owner"
	}
	return "knows closer nodes"
}
