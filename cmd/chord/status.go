package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	chordv1 "github.com/chordkv/chord/proto/chord/v1"
	"github.com/chordkv/chord/ring"
)

func newStatus(a *app) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show one process: its nodes, its store, its health",
		Long: `Show the process at --server: its identity, store and nodes. It is asked at its admin listener,
whose address it tells itself unless --admin is given.`,
		Example: `  chord status
  chord status --server 10.0.0.3:7400
  chord status --check -q || echo unhealthy`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context(), check) },
	}
	cmd.Flags().BoolVar(&check, "check", false, "exit code 9 if the process is not ready, is draining, or cannot write")
	return cmd
}

func (a *app) status(ctx context.Context, check bool) error {
	return a.withAdmin(ctx, func(ctx context.Context, c adminConn) error {
		s, err := a.statusOf(ctx, c)
		if err != nil {
			return err
		}
		switch {
		case a.json():
			err = a.printJSON(statusResult(s))
		case !check || !a.globals.quiet: // of a quiet check the exit code says all
			a.printStatus(s)
		}
		if err == nil && check && len(unhealthy(s)) > 0 {
			return errSilent{cli.ExitUnhealthy}
		}
		return err
	})
}

// unhealthy lists why a process does not do all of its work.
func unhealthy(s *chordv1.StatusResponse) (why []string) {
	if !s.GetReady() {
		why = append(why, "not ready: it has not joined the ring, or is leaving it")
	}
	if s.GetDraining() {
		why = append(why, "draining: it refuses clients")
	}
	if s.GetStoreError() != "" {
		why = append(why, "refuses writes: "+s.GetStoreError())
	}
	if s.GetClockError() != "" {
		why = append(why, "refuses writes: "+s.GetClockError())
	}
	if g := s.GetGossip(); g.GetMinority() {
		why = append(why, fmt.Sprintf("in the minority: hears of %d of %d processes", members(g), members(g)+g.GetDead()))
	}
	for _, n := range s.GetNodes() {
		if !n.GetServing() {
			why = append(why, "node "+refOfWire(n.GetSelf()).ID.Short()+" has no place in the ring yet")
		}
	}
	return why
}

func (a *app) printStatus(s *chordv1.StatusResponse) {
	st := a.styleFor(a.stdoutTTY)
	tw := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(tw, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("process", "%s at %s", hex.EncodeToString(s.GetProcess()), s.GetAddr())
	row("cluster", "%s", hex.EncodeToString(s.GetCluster()))
	row("version", "%s, start number %d, up %s", s.GetVersion(), s.GetIncarnation(), uptime(s.GetStartedMs()))
	row("health", "%s", healthText(st, unhealthy(s)))
	row("replicas", "%d of a key, %d to write, %d to read", s.GetReplicas(), s.GetWriteQuorum(), s.GetReadQuorum())
	row("store", "%s", storeText(s))
	row("repair", "%s", repairText(s.GetRepair()))
	row("gossip", "%s", gossipText(s.GetGossip()))
	tw.Flush()
	fmt.Fprintln(a.stdout)
	fmt.Fprintln(tw, "node\tshare\tpredecessor\tsuccessor\tfingers\tserving\tsettled")
	for _, n := range s.GetNodes() {
		pred, succ := refOfWire(n.GetPredecessor()), ring.Ref{}
		if succs := refsOfWire(n.GetSuccessors()); len(succs) > 0 {
			succ = succs[0]
		}
		fmt.Fprintf(tw, "%s\t%.2f%%\t%s\t%s\t%d\t%s\t%s\n", refOfWire(n.GetSelf()).ID.Short(), 100*n.GetShare(), shortRef(pred), shortRef(succ),
			len(n.GetFingers()), yesNo(n.GetServing()), yesNo(n.GetSettled()))
	}
	tw.Flush()
}

func healthText(st cli.Style, why []string) string {
	if len(why) == 0 {
		return st.Green("ok")
	}
	return st.Red(strings.Join(why, "; "))
}

func storeText(s *chordv1.StatusResponse) string {
	parts := []string{s.GetStore()}
	if s.GetRecords() >= 0 {
		parts = append(parts, plural(s.GetRecords(), "record"))
	}
	if s.GetDiskBytes() > 0 || s.GetFreeBytes() > 0 {
		parts = append(parts, bytesText(s.GetDiskBytes())+" on disk", bytesText(s.GetFreeBytes())+" free")
	}
	return strings.Join(parts, ", ")
}

// gossipText says how many processes are alive, by zone if there are any.
func gossipText(g *chordv1.GossipStatus) string {
	if g == nil {
		return "off"
	}
	var zones []string
	for _, z := range g.GetZones() {
		zones = append(zones, fmt.Sprintf("%d in %s", z.GetMembers(), cmp.Or(z.GetZone(), "no zone")))
	}
	text := pluralProcesses(int(members(g))) + " alive"
	if g.GetDead() > 0 {
		text += fmt.Sprintf(", %d dead", g.GetDead())
	}
	text += ", at " + g.GetAddr()
	if len(zones) > 1 || g.GetZone() != "" {
		text += fmt.Sprintf("; zone %s (%s)", cmp.Or(g.GetZone(), "none"), strings.Join(zones, ", "))
	}
	return text
}

// members counts the processes that are alive.
func members(g *chordv1.GossipStatus) (alive uint32) {
	for _, z := range g.GetZones() {
		alive += z.GetMembers()
	}
	return alive
}

func uptime(startedMS int64) string {
	if startedMS <= 0 {
		return "unknown"
	}
	return time.Since(time.UnixMilli(startedMS)).Round(time.Second).String()
}

func shortRef(r ring.Ref) string {
	if r.IsZero() {
		return "-"
	}
	return r.ID.Short() + "@" + r.Addr
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// bytesText writes a number of bytes in binary units.
func bytesText(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, u := float64(n)/1024, 0
	for v >= 1024 && u < len(units)-1 {
		v, u = v/1024, u+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[u])
}

type statusJSON struct {
	Process     string           `json:"process"`
	Cluster     string           `json:"cluster"`
	Addr        string           `json:"addr"`
	Version     string           `json:"version"`
	Incarnation uint64           `json:"incarnation"`
	Started     string           `json:"started"` // RFC 3339
	Ready       bool             `json:"ready"`
	Draining    bool             `json:"draining"`
	Problems    []string         `json:"problems"`
	Nodes       []statusNodeJSON `json:"nodes"`
	Store       string           `json:"store"`
	StoreError  string           `json:"store_error,omitempty"`
	ClockError  string           `json:"clock_error,omitempty"`
	Records     int64            `json:"records"` // -1 if unknown
	DiskBytes   int64            `json:"disk_bytes"`
	FreeBytes   int64            `json:"free_bytes"`
	Replicas    uint32           `json:"replicas"`
	WriteQuorum uint32           `json:"write_quorum"`
	ReadQuorum  uint32           `json:"read_quorum"`
	Repair      repairJSON       `json:"repair"`
	Gossip      *gossipJSON      `json:"gossip"` // null without gossip
}

type gossipJSON struct {
	Addr    string            `json:"addr"`
	Zone    string            `json:"zone"`
	Members uint32            `json:"members"` // that are alive, itself among them
	Zones   map[string]uint32 `json:"zones"`   // the same by zone; "" for those without

	Dead     uint32 `json:"dead"`     // that still count as members
	Minority bool   `json:"minority"` // they have the majority
}

type statusNodeJSON struct {
	refJSON
	Share       float64   `json:"share"`
	Predecessor refJSON   `json:"predecessor"`
	Successors  []refJSON `json:"successors"`
	Fingers     []refJSON `json:"fingers"`
	Group       []refJSON `json:"group"`
	Serving     bool      `json:"serving"`
	Settled     bool      `json:"settled"`
}

func statusResult(s *chordv1.StatusResponse) statusJSON {
	out := statusJSON{
		Process: hex.EncodeToString(s.GetProcess()), Cluster: hex.EncodeToString(s.GetCluster()), Addr: s.GetAddr(),
		Version: s.GetVersion(), Incarnation: s.GetIncarnation(), Started: time.UnixMilli(s.GetStartedMs()).UTC().Format(time.RFC3339),
		Ready: s.GetReady(), Draining: s.GetDraining(), Problems: append([]string{}, unhealthy(s)...), Nodes: []statusNodeJSON{},
		Store: s.GetStore(), StoreError: s.GetStoreError(), ClockError: s.GetClockError(), Records: s.GetRecords(), DiskBytes: s.GetDiskBytes(), FreeBytes: s.GetFreeBytes(),
		Replicas: s.GetReplicas(), WriteQuorum: s.GetWriteQuorum(), ReadQuorum: s.GetReadQuorum(), Gossip: gossipResult(s.GetGossip()),
		Repair: repairResult(s.GetRepair()),
	}
	for _, n := range s.GetNodes() {
		out.Nodes = append(out.Nodes, statusNodeJSON{
			refJSON: refOf(refOfWire(n.GetSelf())), Share: n.GetShare(), Predecessor: refOf(refOfWire(n.GetPredecessor())),
			Successors: refsOf(refsOfWire(n.GetSuccessors())), Fingers: refsOf(refsOfWire(n.GetFingers())),
			Group: refsOf(refsOfWire(n.GetGroup())), Serving: n.GetServing(), Settled: n.GetSettled(),
		})
	}
	return out
}

func gossipResult(g *chordv1.GossipStatus) *gossipJSON {
	if g == nil {
		return nil
	}
	out := &gossipJSON{
		Addr: g.GetAddr(), Zone: g.GetZone(), Members: members(g), Zones: map[string]uint32{}, Dead: g.GetDead(), Minority: g.GetMinority(),
	}
	for _, z := range g.GetZones() {
		out.Zones[z.GetZone()] = z.GetMembers()
	}
	return out
}
