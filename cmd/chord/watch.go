package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
	"github.com/chordkv/chord/rpc/chunk"
)

// watchFlags are where a watch begins and ends.
type watchFlags struct {
	prefix  bool
	after   string
	changes bool
	count   int
}

// eventJSON is what watch prints with -o json.
type eventJSON struct {
	jsonPair
	Version string `json:"version"`
	Deleted bool   `json:"deleted"`
}

func newWatch(a *app) *cobra.Command {
	var key keyFlags
	var flags watchFlags
	cmd := &cobra.Command{
		Use:   "watch KEY",
		Short: "Print a key, or all keys with a prefix, whenever they change",
		Long: `Print what a key has, and again whenever that changes, until it is interrupted.

Every line is VERSION, put or del, and the value, with TABs between; in the value \t \n \r \\ and \xHH
stand for what would break a line. A value that "chord put --chunked" has stored is large, without the
value: read it with "chord get". A key that never had a value prints nothing at first. With -o json,
every line is {"key","value","version","deleted"}; key_base64 and value_base64 stand in for what is
not UTF-8, and "manifest":true for a large value.

Versions only grow, also when another process takes the key over. Of changes that follow each other
closely only the last may be printed: it tells what the key has, not each thing that it has had. When
nobody can be found for half a minute who watches the key, the exit code is 5; go on with --after and
the version that was printed last.

With --prefix, KEY is what the keys begin with; all keys of the ring begin with ''. Before the value
stands the key. First come the keys that have a value, in no order; then standard error says that all
these were printed, and changes follow, of each key in the order of its versions. That a value has
expired is printed some seconds later. Processes may join, leave and die meanwhile. The versions of the
million keys printed last are remembered, with some 130 MB; of more, a line may come again.`,
		Example: `  chord watch hello
  chord watch jobs --changes -o json | while read -r line; do ...; done
  chord watch leader --changes --count 1
  chord watch hello --after 1700000000000.0-00000000000000ab
  chord watch --prefix jobs/ --changes`,
		Args: key.count(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, _, err := key.take(args)
			if err != nil {
				return err
			}
			if flags.prefix {
				return a.watchPrefix(cmd.Context(), k, flags)
			}
			return a.watch(cmd.Context(), k, flags)
		},
	}
	key.add(cmd)
	cmd.Flags().BoolVar(&flags.prefix, "prefix", false, "watch all keys that begin with KEY")
	cmd.Flags().StringVar(&flags.after, "after", "", "print only what is newer than this `version`")
	cmd.Flags().BoolVar(&flags.changes, "changes", false, "do not print what there is at first")
	cmd.Flags().IntVar(&flags.count, "count", 0, "end after so many lines; 0: never")
	return cmd
}

func (a *app) watchPrefix(ctx context.Context, prefix []byte, flags watchFlags) error {
	switch {
	case flags.count < 0:
		return cli.Usagef("--count %d: want at least 0", flags.count)
	case flags.after != "":
		return cli.Usagef("--after and --prefix exclude each other")
	}
	c, err := a.open()
	if err != nil {
		return err
	}
	defer c.Close()
	opts := rpc.PrefixOptions{
		Changes: flags.changes,
		Only:    func(key []byte) bool { return !chunk.Internal(key) },
		Begun:   func(processes int) { a.note("Changes from here on, of %s.", pluralProcesses(processes)) },
	}
	count := counted(flags.count)
	return ended(c.WatchPrefix(ctx, prefix, opts, func(key []byte, r node.Result) error {
		if err := a.showEvent(key, r, true); err != nil {
			return err
		}
		return count()
	}))
}

// counted returns what to call after each line, which says io.EOF after so many.
func counted(lines int) func() error {
	return func() error {
		if lines--; lines == 0 {
			return io.EOF
		}
		return nil
	}
}

// ended is the error of a watch: none if counted has ended it.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (a *app) watch(ctx context.Context, key []byte, flags watchFlags) error {
	var after node.Version
	switch {
	case flags.count < 0:
		return cli.Usagef("--count %d: want at least 0", flags.count)
	case flags.after != "" && flags.changes:
		return cli.Usagef("--after and --changes exclude each other")
	case flags.after != "":
		v, err := node.ParseVersion(flags.after)
		if err != nil {
			return cli.Usagef("--after: %v", err)
		}
		after = v
	}
	c, err := a.open()
	if err != nil {
		return err
	}
	defer c.Close()
	start := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, a.globals.timeout)
		defer cancel()
		if err := checkPair(ctx, c, pair{key: key}); err != nil {
			return fmt.Errorf("watch %s: %w", quoteKey(key), err)
		}
		if flags.changes {
			r, err := c.Do(ctx, node.Op{Kind: node.OpGet, Key: key})
			after = r.Version
			return err
		}
		return nil
	}
	if err := start(ctx); err != nil {
		return err
	}
	count := counted(flags.count)
	return ended(c.Watch(ctx, key, after, func(r node.Result) error {
		if err := a.showEvent(key, r, false); err != nil {
			return err
		}
		return count()
	}))
}

// showEvent prints what a key has now, and in text the key if withKey.
func (a *app) showEvent(key []byte, r node.Result, withKey bool) error {
	if a.json() {
		out := eventJSON{Version: r.Version.String(), Deleted: !r.Found}
		out.Key, out.KeyBase64 = textOrBase64(key)
		if out.Manifest = r.Manifest; r.Found && !r.Manifest {
			out.Value, out.ValueBase64 = textOrBase64(r.Value)
		}
		return a.printJSON(out)
	}
	what := "put"
	switch {
	case !r.Found:
		what, r.Value = "del", nil
	case r.Manifest:
		what, r.Value = "large", nil
	}
	line := fmt.Appendf(nil, "%v\t", r.Version)
	p := pair{key: []byte(what), value: r.Value}
	if withKey {
		line = fmt.Appendf(line, "%s\t", what)
		p.key = key
	}
	_, err := a.stdout.Write(formatTSV.appendLine(line, p))
	return err
}
