package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
)

func newRing(a *app) *cobra.Command {
	var (
		svg   string
		check bool
	)
	cmd := &cobra.Command{
		Use:   "ring",
		Short: "Show all nodes of the ring",
		Long: `Walk round the ring and show every node: its arc's share of the ring, its predecessor, and
whether its successor and predecessor are the nodes that should be. Right after a change a few
are not; the ring mends them within seconds.

--svg draws the ring: a dot a node and the arc it owns, in the color of its process.`,
		Example: `  chord ring
  chord ring --svg ring.svg
  chord ring -o json | jq '.nodes[] | select(.error)'
  chord ring --check -q && echo healthy`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.ring(cmd.Context(), svg, check) },
	}
	cmd.Flags().StringVar(&svg, "svg", "", "draw the ring to `file`; - is standard output")
	cmd.Flags().BoolVar(&check, "check", false, "exit code 9 if a node does not answer or has a wrong neighbor")
	return cmd
}

// ringNode is a node as a walk round the ring found it.
type ringNode struct {
	rpc.Member
	share          float64 // of the ring; 0 if it did not answer
	predOK, succOK bool    // its neighbors are the nodes next to it in the walk
}

// ringProcess is a process with what its nodes own together.
type ringProcess struct {
	addr  string
	nodes int
	share float64
}

// ringPicture is a ring at the time of a walk.
type ringPicture struct {
	nodes     []ringNode    // clockwise from the lowest identifier
	processes []ringProcess // by address
	problems  []string
}

// pictureOf compares each node with its neighbors in the walk.
func pictureOf(members []rpc.Member) ringPicture {
	var live []ring.Ref
	for _, m := range members {
		if m.Err == nil {
			live = append(live, m.Node)
		}
	}
	var p ringPicture
	at := 0 // the node's number among the live
	for _, m := range members {
		n := ringNode{Member: m}
		if m.Err != nil {
			p.problems = append(p.problems, fmt.Sprintf("%v does not answer: %v", m.Node, m.Err))
			p.nodes = append(p.nodes, n)
			continue
		}
		before, behind := live[(at+len(live)-1)%len(live)], live[(at+1)%len(live)]
		at++
		succ := m.Node // of a node that is alone
		if len(m.View.Succs) > 0 {
			succ = m.View.Succs[0]
		}
		n.share = m.View.Arc().Share()
		n.predOK, n.succOK = m.View.Pred.ID == before.ID, succ.ID == behind.ID
		if !n.predOK {
			p.problems = append(p.problems, fmt.Sprintf("%v has predecessor %v, not %v", m.Node, m.View.Pred, before))
		}
		if !n.succOK {
			p.problems = append(p.problems, fmt.Sprintf("%v has successor %v, not %v", m.Node, succ, behind))
		}
		p.nodes = append(p.nodes, n)
		p.count(n)
	}
	slices.SortFunc(p.processes, func(a, b ringProcess) int { return strings.Compare(a.addr, b.addr) })
	return p
}

func (p *ringPicture) count(n ringNode) {
	i := slices.IndexFunc(p.processes, func(q ringProcess) bool { return q.addr == n.Node.Addr })
	if i < 0 {
		p.processes = append(p.processes, ringProcess{addr: n.Node.Addr})
		i = len(p.processes) - 1
	}
	p.processes[i].nodes++
	p.processes[i].share += n.share
}

func (a *app) ring(ctx context.Context, svg string, check bool) error {
	var members []rpc.Member
	err := a.withClient(ctx, func(ctx context.Context, c client) (err error) {
		members, err = c.Ring(ctx, nil)
		return err
	})
	if err != nil {
		return err
	}
	p := pictureOf(members)
	switch {
	case svg != "":
		err = a.writeSVG(svg, p)
	case a.json():
		err = a.printJSON(p.json())
	case !check || !a.globals.quiet: // of a quiet check the exit code says all
		a.printRing(p)
	}
	if err == nil && check && len(p.problems) > 0 {
		return errSilent{cli.ExitUnhealthy}
	}
	return err
}

func (a *app) writeSVG(path string, p ringPicture) error {
	if path == "-" {
		return writeRingSVG(a.stdout, p)
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("--svg: %w", err)
	}
	if err := errors.Join(writeRingSVG(f, p), f.Close()); err != nil {
		return fmt.Errorf("--svg: %w", err)
	}
	a.printf("%s: %s of %s\n", path, plural(int64(len(p.nodes)), "node"), pluralProcesses(len(p.processes)))
	return nil
}

func (a *app) printRing(p ringPicture) {
	st := a.styleFor(a.stdoutTTY)
	tw := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "node\taddress\tshare\tpredecessor\tsuccessor\t")
	for _, n := range p.nodes {
		if n.Err != nil {
			fmt.Fprintf(tw, "%s\t%s\t-\t-\t-\t%s\n", n.Node.ID.Short(), n.Node.Addr, st.Red("does not answer"))
			continue
		}
		succ := n.Node
		if len(n.View.Succs) > 0 {
			succ = n.View.Succs[0]
		}
		state := st.Green("ok")
		switch {
		case !n.predOK && !n.succOK:
			state = st.Red("wrong neighbors")
		case !n.predOK:
			state = st.Red("wrong predecessor")
		case !n.succOK:
			state = st.Red("wrong successor")
		}
		fmt.Fprintf(tw, "%s\t%s\t%.2f%%\t%s\t%s\t%s\n", n.Node.ID.Short(), n.Node.Addr, 100*n.share,
			n.View.Pred.ID.Short(), succ.ID.Short(), state)
	}
	tw.Flush()
	if a.globals.quiet {
		return
	}
	fmt.Fprintln(a.stdout)
	printProcesses(a.stdout, p.processes)
	if len(p.problems) > 0 {
		fmt.Fprintf(a.stdout, "\n%s:\n", st.Red(plural(int64(len(p.problems)), "problem")))
		for _, problem := range p.problems {
			fmt.Fprintln(a.stdout, "  "+problem)
		}
	}
}

func printProcesses(w io.Writer, processes []ringProcess) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "process\tnodes\tshare")
	for _, q := range processes {
		fmt.Fprintf(tw, "%s\t%d\t%.2f%%\n", q.addr, q.nodes, 100*q.share)
	}
	tw.Flush()
}

type ringJSON struct {
	Nodes     []ringNodeJSON    `json:"nodes"`
	Processes []ringProcessJSON `json:"processes"`
	Problems  []string          `json:"problems"`
}

type ringNodeJSON struct {
	refJSON
	Share       float64   `json:"share"`
	Predecessor *refJSON  `json:"predecessor,omitempty"`
	Successors  []refJSON `json:"successors,omitempty"`
	OK          bool      `json:"ok"`
	RTTNS       int64     `json:"rtt_ns"`
	Error       string    `json:"error,omitempty"`
}

type ringProcessJSON struct {
	Addr  string  `json:"addr"`
	Nodes int     `json:"nodes"`
	Share float64 `json:"share"`
}

func (p ringPicture) json() ringJSON {
	out := ringJSON{Nodes: []ringNodeJSON{}, Processes: []ringProcessJSON{}, Problems: append([]string{}, p.problems...)}
	for _, n := range p.nodes {
		j := ringNodeJSON{refJSON: refOf(n.Node), Share: n.share, OK: n.predOK && n.succOK, RTTNS: int64(n.RTT)}
		if n.Err != nil {
			j.Error = n.Err.Error()
		} else {
			pred := refOf(n.View.Pred)
			j.Predecessor, j.Successors = &pred, refsOf(n.View.Succs)
		}
		out.Nodes = append(out.Nodes, j)
	}
	for _, q := range p.processes {
		out.Processes = append(out.Processes, ringProcessJSON{q.addr, q.nodes, q.share})
	}
	return out
}
