package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

func newLookup(a *app) *cobra.Command {
	var (
		key   keyFlags
		trace bool
	)
	cmd := &cobra.Command{
		Use:   "lookup KEY",
		Short: "Find the nodes that hold a key",
		Long: `Find the node that owns a key, and its replicas, by the ring's own protocol: from node to node,
each closer to the key.

The key need not exist: its place on the ring is the start of its SHA-256. --trace shows every
call on the way.`,
		Example: `  chord lookup hello
  chord lookup hello --trace
  chord lookup hello -o json`,
		Args: key.count(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, _, err := key.take(args)
			if err != nil {
				return err
			}
			return a.lookup(cmd.Context(), k, trace)
		},
	}
	key.add(cmd)
	cmd.Flags().BoolVar(&trace, "trace", false, "show each hop: node, address, arc, round-trip time")
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

func (a *app) lookup(ctx context.Context, key []byte, trace bool) error {
	return a.withClient(ctx, func(ctx context.Context, c client) error {
		if err := checkPair(ctx, c, pair{key: key}); err != nil {
			return fmt.Errorf("lookup %s: %w", quoteKey(key), err)
		}
		t, err := c.Lookup(ctx, ring.Hash(key), nil)
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
		id, arc := h.Node.ID.Short(), "-"
		if h.Node.ID.IsZero() {
			id = "?"
		}
		if h.Arc != (ring.Arc{}) {
			arc = h.Arc.String()
		}
		fmt.Fprintf(tw, "%d\t%s\t%s\t%s\t%s\t%s\n", i+1, id, h.Node.Addr, arc, roundDuration(h.RTT), hopAnswer(h))
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
