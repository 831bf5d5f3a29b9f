package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

func newRepair(a *app) *cobra.Command {
	var arc string
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Make a process compare its arcs with their replicas now",
		Long: `Make the process at --server compare the arcs that it owns with their replicas, and exchange
what one side lacks. That happens by itself half a second after each change of the ring, and
every minute ("chordd --repair-interval"); this does it now, shows what came of it, and fails
if a replica does not agree in the end.

It is limited like any other repair ("chordd --repair-rate"). Ctrl-C ends it; what was repaired
until then stays so.`,
		Example: `  chord repair
  chord repair --server 10.0.0.3:7400 --arc 00..80
  for s in 10.0.0.1:7400 10.0.0.2:7400; do chord repair --server $s -o json; done`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			request := &chordv1.RepairRequest{}
			if arc != "" {
				within, err := parseArc(arc)
				if err != nil {
					return cli.Usagef("--arc %s: %v", arc, err)
				}
				request.Within = &chordv1.Arc{After: within.After[:], Through: within.Through[:]}
			}
			return a.repair(cmd.Context(), request)
		},
	}
	cmd.Flags().StringVar(&arc, "arc", "", "only what lies on the ring behind the identifier `AFTER..THROUGH` and up to the other, of which the first digits are enough")
	return cmd
}

// parseArc reads AFTER..THROUGH, two identifiers of which zeros at the end may be left out.
func parseArc(s string) (ring.Arc, error) {
	parse := func(digits string) (ring.ID, error) {
		return ring.ParseID(digits + strings.Repeat("0", max(0, 2*len(ring.ID{})-len(digits))))
	}
	first, last, ok := strings.Cut(s, "..")
	after, err1 := parse(first)
	through, err2 := parse(last)
	if !ok || first == "" || last == "" || err1 != nil || err2 != nil {
		return ring.Arc{}, errors.New("want AFTER..THROUGH, two identifiers of up to 40 hexadecimal digits, for example 00..80")
	}
	return ring.Arc{After: after, Through: through}, nil
}

type repairedJSON struct {
	Node     refJSON `json:"node"`
	Peer     refJSON `json:"peer"`
	After    string  `json:"after"`
	Through  string  `json:"through"`
	Sent     int64   `json:"sent"` // records
	Received int64   `json:"received"`
	Error    string  `json:"error,omitempty"`
}

type repairReportJSON struct {
	Comparisons []repairedJSON `json:"comparisons"`
	Sent        int64          `json:"sent"`
	Received    int64          `json:"received"`
	Failed      int            `json:"failed"` // comparisons
	Seconds     float64        `json:"seconds"`
}

func (a *app) repair(ctx context.Context, request *chordv1.RepairRequest) error {
	return a.withAdmin(ctx, func(ctx context.Context, c adminConn) error {
		start := time.Now()
		report, err := a.followRepair(ctx, c, request)
		if err != nil && len(report.Comparisons) == 0 {
			return c.failure(ctx, "repair", start, err)
		}
		report.Seconds = time.Since(start).Seconds()
		if a.json() {
			if err := a.printJSON(report); err != nil {
				return err
			}
		} else if !a.globals.quiet {
			a.printRepair(report)
		}
		if err != nil {
			return c.failure(ctx, "repair", start, err)
		}
		return nil
	})
}

// followRepair shows how far a repair is until it has ended, and returns what came of it so far.
func (a *app) followRepair(ctx context.Context, c adminConn, request *chordv1.RepairRequest) (repairReportJSON, error) {
	report := repairReportJSON{Comparisons: []repairedJSON{}}
	stream, err := c.Repair(ctx, request)
	if err != nil {
		return report, err
	}
	var status atomic.Pointer[chordv1.RepairStatus]
	var before atomic.Int64 // moved by comparisons that have ended
	bar := a.startProgress("repair", "records", func() cli.Gauge {
		s := status.Load()
		return cli.Gauge{Done: -1, Count: before.Load() + s.GetMoved(), Suffix: repairSuffix(s)}
	})
	defer bar.Stop()
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return report, nil
		case err != nil:
			return report, err
		}
		status.Store(m.GetStatus())
		if r := m.GetRepaired(); r != nil {
			report.add(r)
			before.Store(report.Sent + report.Received)
		}
	}
}

func repairSuffix(s *chordv1.RepairStatus) string {
	if s.GetLeft() == 0 {
		return ""
	}
	return fmt.Sprintf(", %s to go", cli.GroupDigits(s.GetLeft()))
}

func (r *repairReportJSON) add(m *chordv1.RepairedArc) {
	r.Comparisons = append(r.Comparisons, repairedJSON{
		Node: refOf(refOfWire(m.GetNode())), Peer: refOf(refOfWire(m.GetPeer())),
		After: fmt.Sprintf("%x", m.GetArc().GetAfter()), Through: fmt.Sprintf("%x", m.GetArc().GetThrough()),
		Sent: m.GetSent(), Received: m.GetReceived(), Error: m.GetError(),
	})
	r.Sent, r.Received = r.Sent+m.GetSent(), r.Received+m.GetReceived()
	if m.GetError() != "" {
		r.Failed++
	}
}

func (a *app) printRepair(r repairReportJSON) {
	tw := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "arc\treplica\tsent\treceived\tresult")
	for _, c := range r.Comparisons {
		result := "equal"
		switch {
		case c.Error != "":
			result = c.Error
		case c.Sent+c.Received > 0:
			result = "repaired"
		}
		fmt.Fprintf(tw, "%.8s..%.8s\t%s\t%d\t%d\t%s\n", c.After, c.Through, c.Peer.Addr, c.Sent, c.Received, result)
	}
	tw.Flush()
	fmt.Fprintf(a.stdout, "%s, %s sent, %s received, after %s\n", plural(int64(len(r.Comparisons)), "comparison"), plural(r.Sent, "record"),
		cli.GroupDigits(r.Received), roundDuration(time.Duration(r.Seconds*float64(time.Second))))
}

type repairJSON struct {
	Behind    uint32  `json:"behind"`    // arcs of which not all replicas agree since the last change
	Comparing uint32  `json:"comparing"` // arcs that are being compared
	Waiting   uint32  `json:"waiting"`   // arcs that wait for that
	Moved     int64   `json:"moved"`     // records, by these comparisons so far
	Bytes     int64   `json:"bytes"`
	Left      int64   `json:"left"` // records, as far as is known
	LeftSec   float64 `json:"left_seconds"`
	Held      uint32  `json:"held"` // arcs of which copies are not made again yet
	HeldSec   float64 `json:"held_seconds"`
}

func repairResult(s *chordv1.RepairStatus) repairJSON {
	return repairJSON{
		Behind: s.GetBehind(), Comparing: s.GetComparing(), Waiting: s.GetWaiting(), Moved: s.GetMoved(), Bytes: s.GetBytes(),
		Left: s.GetLeft(), LeftSec: float64(s.GetLeftMs()) / 1000, Held: s.GetHeld(), HeldSec: float64(s.GetHeldMs()) / 1000,
	}
}

// repairText says in a line where repair stands.
func repairText(s *chordv1.RepairStatus) string {
	if s == nil {
		return "not yet"
	}
	parts := []string{"all arcs agree with their replicas"}
	if s.GetBehind() > 0 {
		parts[0] = plural(int64(s.GetBehind()), "arc") + " behind"
	}
	if s.GetHeld() > 0 {
		held := plural(int64(s.GetHeld()), "arc") + " with a copy away, made again in " + roundDuration(time.Duration(s.GetHeldMs())*time.Millisecond)
		if s.GetBehind() == 0 {
			parts[0] = held
		} else {
			parts = append(parts, held)
		}
	}
	if s.GetComparing() > 0 {
		parts = append(parts, fmt.Sprintf("%d being compared", s.GetComparing()))
	}
	if s.GetWaiting() > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting", s.GetWaiting()))
	}
	if s.GetMoved() > 0 {
		parts = append(parts, plural(s.GetMoved(), "record")+" ("+bytesText(s.GetBytes())+") moved")
	}
	if s.GetLeft() > 0 {
		left := fmt.Sprintf("%s to go", cli.GroupDigits(s.GetLeft()))
		if s.GetLeftMs() > 0 {
			left += ", about " + roundDuration(time.Duration(s.GetLeftMs())*time.Millisecond)
		}
		parts = append(parts, left)
	}
	return strings.Join(parts, ", ")
}
