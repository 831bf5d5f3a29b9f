package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
)

// This file is what has to do with keys that expire: --ttl, touch and ttl.

// forever is the --ttl of what does not expire.
const forever = "forever"

// ttlFlag is how long what a write leaves is there.
type ttlFlag struct{ text string }

// add adds --ttl; otherwise says what holds without it.
func (f *ttlFlag) add(cmd *cobra.Command, otherwise string) {
	cmd.Flags().StringVar(&f.text, "ttl", "", "how long the key is there, a `duration` like 30s, 15m or 720h, or forever"+otherwise)
}

// keepsExpiry is what holds of operations that make the new value of the old one.
const keepsExpiry = " (default: as before)"

// apply sets the TTL of an operation.
func (f *ttlFlag) apply(op *node.Op) error {
	switch f.text {
	case "":
		return nil
	case forever:
		op.TTL = node.Forever
		return nil
	}
	ttl, err := time.ParseDuration(f.text)
	if err != nil {
		return cli.Usagef("--ttl %q: want a duration like 30s, 15m or 720h, at most %.0fh, or forever", f.text, node.MaxTTL.Hours())
	}
	op.TTL = ttl
	if ttl == 0 || ttl == node.Forever { // which are other words to CheckExpiry
		return cli.Usagef("--ttl %v: want at least 1ms", ttl)
	}
	if err := op.CheckExpiry(time.Now()); err != nil {
		return cli.Usagef("--ttl: %s", strings.TrimPrefix(err.Error(), node.ErrInvalid.Error()+": "))
	}
	return nil
}

// untilText is the part of a line about a write that says when the key expires.
func untilText(r node.Result) string {
	if r.Expires == 0 {
		return ""
	}
	return ", expires " + time.UnixMilli(r.Expires).UTC().Format(time.DateTime) + " UTC"
}

// expiryText writes a time to expire for JSON, nil for never.
func expiryText(millis int64) *string {
	if millis == 0 {
		return nil
	}
	s := time.UnixMilli(millis).UTC().Format("2006-01-02T15:04:05.000Z07:00")
	return &s
}

// parseExpiry reads what expiryText writes, or another time of RFC 3339.
func parseExpiry(text *string) (int64, error) {
	if text == nil {
		return 0, nil
	}
	t, err := time.Parse(time.RFC3339, *text)
	if err != nil || t.UnixMilli() <= 0 {
		return 0, fmt.Errorf("expires %q: want a time like 2030-01-31T12:00:00.000Z", *text)
	}
	return t.UnixMilli(), nil
}

func newTouch(a *app) *cobra.Command {
	var key keyFlags
	var ttl ttlFlag
	cmd := &cobra.Command{
		Use:   "touch KEY --ttl DURATION|forever",
		Short: "Set when a key expires",
		Long: `Set how long a key is there from now on, whatever was said before; the value stays. With
--ttl forever it does not expire. A key without a value is exit code 4, and nothing changes.

A request that is repeated because its answer was lost takes effect once.`,
		Example: `  chord touch session-42 --ttl 30m
  chord touch session-42 --ttl forever`,
		Args: key.count(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, _, err := key.take(args)
			if err != nil {
				return err
			}
			op := node.Op{Kind: node.OpTouch, Key: k}
			if ttl.text == "" {
				return cli.Usagef("touch needs --ttl")
			}
			if err := ttl.apply(&op); err != nil {
				return err
			}
			return a.write(cmd.Context(), op, a.showWritten)
		},
	}
	key.add(cmd)
	ttl.add(cmd, "")
	return cmd
}

func newTTL(a *app) *cobra.Command {
	var key keyFlags
	cmd := &cobra.Command{
		Use:   "ttl KEY",
		Short: "Print how long a key is there",
		Long: `Print how long a key is there from now on, or "forever" if it does not expire. A key without a
value is exit code 3.

With -o json: {"key","version","acks","expires","ttl_ms","forever"}; a key that does not expire has
neither "expires" nor "ttl_ms", and "forever" is true.`,
		Example: `  chord ttl session-42
  chord ttl session-42 -o json`,
		Args: key.count(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, _, err := key.take(args)
			if err != nil {
				return err
			}
			return a.ttl(cmd.Context(), k)
		},
	}
	key.add(cmd)
	return cmd
}

func (a *app) ttl(ctx context.Context, key []byte) error {
	return a.withClient(ctx, func(ctx context.Context, c client) error {
		if err := checkPair(ctx, c, pair{key: key}); err != nil {
			return fmt.Errorf("ttl %s: %w", quoteKey(key), err)
		}
		r, err := c.Do(ctx, node.Op{Kind: node.OpGet, Key: key, Bare: true, Level: a.globals.level})
		switch {
		case err != nil:
			return err
		case !r.Found:
			return notFound("ttl", key)
		case a.json():
			out := opResult(key, r)
			out.Existed = nil
			return a.printJSON(struct {
				opJSON
				Forever bool `json:"forever"`
			}{out, r.Expires == 0})
		case r.Expires == 0:
			_, err = fmt.Fprintln(a.stdout, forever)
		default:
			_, err = fmt.Fprintln(a.stdout, r.Left.Round(time.Millisecond))
		}
		return err
	})
}

// noteExpiring says that a file has lost the times at which keys expire.
func (a *app) noteExpiring(f lineFormat, keys int64) {
	if keys > 0 && f != formatJSON {
		a.note("%s expire, which a file of format %s does not say: use --format json to keep that.", plural(keys, "key"), f)
	}
}
