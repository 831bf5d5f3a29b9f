package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
)

// watchFlags are where a watch begins and ends.
type watchFlags struct {
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
		Short: "Print a key whenever it changes",
		Long: `Print what a key has, and again whenever that changes, until it is interrupted.

Every line is VERSION, put or del, and the value, with TABs between; in the value \t \n \r \\ and \xHH
stand for what would break a line. A value that "chord put --chunked" has stored is large, without the
value: read it with "chord get". A key that never had a value prints nothing at first. With -o json,
every line is {"key","value","version","deleted"}; key_base64 and value_base64 stand in for what is
not UTF-8, and "manifest":true for a large value.

Versions only grow, also when another process takes the key over. Of changes that follow each other
closely only the last may be printed: it tells what the key has, not each thing that it has had. When
nobody can be found for half a minute who watches the key, the exit code is 5; go on with --after and
the version that was printed last.`,
		Example: `  chord watch hello
  chord watch jobs --changes -o json | while read -r line; do ...; done
  chord watch leader --changes --count 1
  chord watch hello --after 1700000000000.0-00000000000000ab`,
		Args: key.count(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, _, err := key.take(args)
			if err != nil {
				return err
			}
			return a.watch(cmd.Context(), k, flags)
		},
	}
	key.add(cmd)
	cmd.Flags().StringVar(&flags.after, "after", "", "print only what is newer than this `version`")
	cmd.Flags().BoolVar(&flags.changes, "changes", false, "do not print what the key has at first")
	cmd.Flags().IntVar(&flags.count, "count", 0, "end after so many lines; 0: never")
	return cmd
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
	left := flags.count
	err = c.Watch(ctx, key, after, func(r node.Result) error {
		if err := a.showEvent(key, r); err != nil {
			return err
		}
		if left--; left == 0 {
			return io.EOF
		}
		return nil
	})
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// showEvent prints what a key has now.
func (a *app) showEvent(key []byte, r node.Result) error {
	if a.json() {
		out := eventJSON{Version: r.Version.String(), Deleted: !r.Found}
		out.Key, out.KeyBase64 = textOrBase64(key)
		if out.Manifest = r.Manifest; r.Found && !r.Manifest {
			out.Value, out.ValueBase64 = textOrBase64(r.Value)
		}
		return a.printJSON(out)
	}
	p := pair{key: []byte("put"), value: r.Value}
	switch {
	case !r.Found:
		p = pair{key: []byte("del")}
	case r.Manifest:
		p = pair{key: []byte("large")}
	}
	line := formatTSV.appendLine(append([]byte(r.Version.String()), '\t'), p)
	_, err := a.stdout.Write(line)
	return err
}
