package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/node/store"
)

// newInspectCommand returns "chordd inspect".
func newInspectCommand(sur surroundings) *cobra.Command {
	output := "table"
	cmd := &cobra.Command{
		Use:   "inspect DIR",
		Short: "Check the data directory of a process that is stopped, and show what is in it",
		Long: `Read all that a data directory holds, checksums included, and show whose it is, how many records it has and where they lie on the ring, and
what is damaged. It changes nothing, and refuses a directory that a process uses.

The exit code is 9 if something is damaged. What is damaged is not lost: when the process is started again, it gets those records from their other
replicas.`,
		Example: `  chordd inspect ./chord-data
  chordd inspect ./chord-data -o json`,
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := inspectDir(cmd.Context(), args[0], sur.stderr)
			if err != nil {
				return err
			}
			if output == "json" {
				err = printInspectionJSON(sur.stdout, r)
			} else {
				err = printInspection(sur.stdout, r)
			}
			if err != nil {
				return fmt.Errorf("print: %w", err)
			}
			if r.Corrupt > 0 || r.Tree != "" {
				return &cli.Failure{
					Exit: cli.ExitUnhealthy, Message: args[0] + " is damaged",
					Hint: "Start the process with it: repair takes what is damaged from other replicas. If it gets worse, replace the disk.",
				}
			}
			return nil
		},
	}
	cmd.Flags().VarP(newChoice(&output, "table", "json"), "output", "o", "format")
	registerCompletions(cmd, cmd.Flags())
	return cmd
}

// inspectDir inspects a directory, which takes minutes if it is large.
func inspectDir(ctx context.Context, dir string, stderr io.Writer) (store.Inspection, error) {
	var read atomic.Int64
	bar := startBar(stderr, "read", "records", &read)
	defer bar.Stop()
	return store.Inspect(ctx, dir, &read)
}

// startBar shows a number that grows, if stderr is a terminal.
func startBar(stderr io.Writer, label, unit string, count *atomic.Int64) *cli.Progress {
	var to io.Writer
	width := func() int { return 80 }
	if f, ok := stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		to = f
		width = func() int {
			if w, _, err := term.GetSize(int(f.Fd())); err == nil {
				return w
			}
			return 80
		}
	}
	return cli.StartBar(to, width, label, unit, func() cli.Gauge { return cli.Gauge{Done: -1, Count: count.Load()} })
}

func printInspection(w io.Writer, r store.Inspection) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(tw, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("process", "%x, start number %d, directory of format %d", r.Identity.Process, r.Identity.Incarnation, r.Format)
	if r.Cluster == ([16]byte{}) {
		row("cluster", "none yet")
	} else {
		row("cluster", "%x", r.Cluster)
	}
	row("made", "%s, last known to be alive %s", day(r.Created), day(r.LastAlive))
	row("peers", "%d", len(r.Peers))
	row("records", "%s, %s of them deletes, %s that expire, %s bytes of keys, %s of values, %s on disk", cli.GroupDigits(r.Records),
		cli.GroupDigits(r.Tombstones), cli.GroupDigits(r.Expiring), cli.GroupDigits(r.KeyBytes), cli.GroupDigits(r.ValueBytes), cli.GroupDigits(r.DiskBytes))
	if r.Records > 0 {
		row("written", "%s to %s", day(time.UnixMilli(r.Oldest.Millis())), day(time.UnixMilli(r.Newest.Millis())))
	}
	row("damaged", "%s", cli.GroupDigits(r.Corrupt))
	for _, key := range r.CorruptKeys {
		row("", "at or behind %q", key)
	}
	if r.Tree == "" {
		row("hash tree", "agrees with the records")
	} else {
		row("hash tree", "%s", r.Tree)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	fmt.Fprintln(tw, "up to node\trecords")
	for _, a := range r.Arcs {
		fmt.Fprintf(tw, "%s\t%s\n", a.Node.Short(), cli.GroupDigits(a.Records))
	}
	return tw.Flush()
}

func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.DateTime) + " UTC"
}

type inspectionJSON struct {
	Process     string            `json:"process"`
	Cluster     string            `json:"cluster"` // empty: none yet
	Incarnation uint64            `json:"incarnation"`
	Format      int               `json:"format"`
	Created     time.Time         `json:"created"`
	LastAlive   time.Time         `json:"last_alive"` // the year 1: never
	Peers       []string          `json:"peers"`
	Records     int64             `json:"records"`
	Tombstones  int64             `json:"tombstones"`
	Expiring    int64             `json:"expiring"`
	KeyBytes    int64             `json:"key_bytes"`
	ValueBytes  int64             `json:"value_bytes"`
	DiskBytes   int64             `json:"disk_bytes"`
	Oldest      string            `json:"oldest,omitempty"` // version
	Newest      string            `json:"newest,omitempty"`
	Corrupt     int64             `json:"corrupt"`
	CorruptKeys []string          `json:"corrupt_keys_base64"`
	Tree        string            `json:"tree,omitempty"` // what is wrong with it
	Arcs        []nodeRecordsJSON `json:"arcs"`
}

type nodeRecordsJSON struct {
	Node    string `json:"node"`
	Records int64  `json:"records"` // from the process's node before to this one
}

func printInspectionJSON(w io.Writer, r store.Inspection) error {
	out := inspectionJSON{
		Process: hex.EncodeToString(r.Identity.Process[:]), Incarnation: r.Identity.Incarnation, Format: r.Format, Created: r.Created, LastAlive: r.LastAlive,
		Peers: append([]string{}, r.Peers...), Records: r.Records, Tombstones: r.Tombstones, Expiring: r.Expiring,
		KeyBytes: r.KeyBytes, ValueBytes: r.ValueBytes, DiskBytes: r.DiskBytes, Corrupt: r.Corrupt, CorruptKeys: []string{}, Tree: r.Tree,
	}
	if r.Cluster != ([16]byte{}) {
		out.Cluster = hex.EncodeToString(r.Cluster[:])
	}
	version := func(v node.Version) string {
		if v.IsZero() {
			return ""
		}
		return v.String()
	}
	out.Oldest, out.Newest = version(r.Oldest), version(r.Newest)
	for _, key := range r.CorruptKeys {
		out.CorruptKeys = append(out.CorruptKeys, base64.StdEncoding.EncodeToString(key))
	}
	for _, a := range r.Arcs {
		out.Arcs = append(out.Arcs, nodeRecordsJSON{a.Node.String(), a.Records})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}
