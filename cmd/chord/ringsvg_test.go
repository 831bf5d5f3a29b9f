package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

// parseSVG returns how often each element occurs, and fails on anything that is not XML.
func parseSVG(t *testing.T, data []byte) map[string]int {
	t.Helper()
	count := make(map[string]int)
	dec := xml.NewDecoder(bytes.NewReader(data))
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return count
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, data)
		}
		if e, ok := token.(xml.StartElement); ok {
			count[e.Name.Local]++
			for _, a := range e.Attr {
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "%!") {
					t.Errorf("%s: attribute %s is %q", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		}
	}
}

func TestRingSVG(t *testing.T) {
	var b bytes.Buffer
	if err := writeRingSVG(&b, pictureOf(testMembers())); err != nil {
		t.Fatal(err)
	}
	count := parseSVG(t, b.Bytes())
	if got, want := count["path"], 6; got != want {
		t.Errorf("arcs: got %d, want %d", got, want)
	}
	if got, want := count["circle"], 1+6; got != want {
		t.Errorf("circles: got %d, want the ring and %d dots", got, want-1)
	}
	if got, want := count["rect"], 3; got != want {
		t.Errorf("legend: got %d processes, want %d", got, want)
	}
	if got, want := strings.Count(b.String(), "http"), strings.Count(b.String(), "http://www.w3.org/2000/svg"); got != want {
		t.Errorf("the picture refers to other files: %d addresses, want the %d of the format itself", got, want)
	}
}

// TestRingSVGEscapes: an address is what some process says of itself, and may be anything.
func TestRingSVGEscapes(t *testing.T) {
	members := testMembers()
	for i := range members {
		members[i].Node.Addr = `<script>"&'` + members[i].Node.Addr
		members[i].View.Self = members[i].Node
	}
	members[2] = rpc.Member{Node: members[2].Node, Err: errors.New(`</title><script>&`)}
	var b bytes.Buffer
	if err := writeRingSVG(&b, pictureOf(members)); err != nil {
		t.Fatal(err)
	}
	if count := parseSVG(t, b.Bytes()); count["script"] != 0 {
		t.Errorf("an address became an element")
	}
}

func TestRingSVGSizes(t *testing.T) {
	for _, n := range []int{0, 1, 2, 500} {
		var refs []ring.Ref
		for i := range n {
			refs = append(refs, ring.Ref{ID: ring.Hash(fmt.Append(nil, i)), Addr: fmt.Sprintf("10.0.0.%d:7400", i%100)})
		}
		var b bytes.Buffer
		if err := writeRingSVG(&b, pictureOf(idealMembers(refs))); err != nil {
			t.Fatal(err)
		}
		parseSVG(t, b.Bytes())
	}
}

// idealMembers is a ring of the refs without a fault.
func idealMembers(refs []ring.Ref) (members []rpc.Member) {
	refs = slices.SortedFunc(slices.Values(refs), func(a, b ring.Ref) int { return a.ID.Compare(b.ID) })
	for i, r := range refs {
		n := len(refs)
		view := ring.View{Self: r, Pred: refs[(i+n-1)%n]}
		if n > 1 {
			view.Succs = []ring.Ref{refs[(i+1)%n]}
		}
		members = append(members, rpc.Member{Node: r, View: view})
	}
	return members
}

func TestPictureFindsProblems(t *testing.T) {
	if p := pictureOf(testMembers()); len(p.problems) != 0 {
		t.Errorf("a good ring: got problems %q", p.problems)
	}
	members := testMembers()
	members[1] = rpc.Member{Node: members[1].Node, Err: fmt.Errorf("gone: %w", node.ErrUnreachable)}
	p := pictureOf(members)
	// The dead node, its predecessor's successor and its successor's predecessor.
	if got, want := len(p.problems), 3; got != want {
		t.Errorf("one dead node: got %d problems %q, want %d", got, p.problems, want)
	}
	if p.nodes[0].succOK || !p.nodes[0].predOK || p.nodes[2].predOK || !p.nodes[2].succOK {
		t.Errorf("the neighbors of the dead node: got %+v and %+v", p.nodes[0], p.nodes[2])
	}
	sum := 0.0
	for _, q := range pictureOf(testMembers()).processes {
		sum += q.share
	}
	if sum < 0.999999 || sum > 1.000001 {
		t.Errorf("shares: got %v in all, want 1", sum)
	}
	w := newWorld()
	w.ring.members = members
	if got, want := w.chord(t, "ring", "--check"), cli.ExitUnhealthy; got != want {
		t.Errorf("ring --check: exit code: got %d, want %d", got, want)
	}
	if got, want := w.out.String(), "does not answer"; !strings.Contains(got, want) {
		t.Errorf("ring: got %q, want %q in it", got, want)
	}
}

func TestPictureOfOneNode(t *testing.T) {
	p := pictureOf(idealMembers([]ring.Ref{{ID: ring.ID{0: 7}, Addr: "a:1"}}))
	if len(p.problems) != 0 || p.nodes[0].share != 1 {
		t.Errorf("got problems %q, share %v; want none, 1", p.problems, p.nodes[0].share)
	}
}
