package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
)

// keyFlags are the ways to give a key that cannot stand on a command line: argv ends at a NUL.
type keyFlags struct {
	hex, file string
}

func (k *keyFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.hex, "key-hex", "", "the key in `hex`adecimal digits, instead of KEY")
	cmd.Flags().StringVar(&k.file, "key-file", "", "read the key, byte for byte, from `file` instead of KEY")
}

func (k *keyFlags) given() bool { return k.hex != "" || k.file != "" }

// count is the number of positional arguments of a command that takes a key and n more.
func (k *keyFlags) count(n int) cobra.PositionalArgs {
	return cli.Args(func(cmd *cobra.Command, args []string) error {
		if k.hex != "" && k.file != "" {
			return errors.New("--key-hex and --key-file exclude each other")
		}
		if k.given() {
			if len(args) == n+1 {
				return errors.New("KEY and --key-hex or --key-file exclude each other")
			}
			return cobra.ExactArgs(n)(cmd, args)
		}
		return cobra.ExactArgs(n+1)(cmd, args)
	})
}

// take returns the key and the arguments behind it.
func (k *keyFlags) take(args []string) ([]byte, []string, error) {
	switch {
	case k.hex != "":
		key, err := hex.DecodeString(k.hex)
		if err != nil {
			return nil, nil, cli.Usagef("--key-hex: %v", err)
		}
		return key, args, nil
	case k.file != "":
		key, err := readFile(k.file, defaultMaxRead)
		if err != nil {
			return nil, nil, fmt.Errorf("--key-file: %w", err)
		}
		return key, args, nil
	}
	return []byte(args[0]), args[1:], nil
}

// defaultMaxRead bounds what is read into memory for one key or value, far above any ring's limit.
const defaultMaxRead = 64 << 20

// readFile reads a file that an argument names; that it is missing is a mistake in the command line.
func readFile(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, cli.Usagef("%v", err)
		}
		return nil, err
	}
	defer f.Close()
	return readAll(f, path, max)
}

func readAll(r io.Reader, name string, max int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > max {
		return nil, cli.Usagef("%s is larger than %s bytes, which no ring takes", name, cli.GroupDigits(max))
	}
	return data, nil
}

// readValue reads the VALUE argument: "-" is stdin, @FILE a file, and a leading \@ or \- stands for itself.
func (a *app) readValue(arg string) ([]byte, error) {
	switch {
	case arg == "-":
		return readAll(a.stdin, "standard input", defaultMaxRead)
	case strings.HasPrefix(arg, "@"):
		return readFile(arg[1:], defaultMaxRead)
	case strings.HasPrefix(arg, `\@`), arg == `\-`:
		return []byte(arg[1:]), nil
	}
	return []byte(arg), nil
}

// opJSON is what get and the writes print with -o json.
type opJSON struct {
	jsonPair
	Version string `json:"version"`
	Acks    int    `json:"acks"`
	Existed *bool  `json:"existed,omitempty"` // of a write: whether the key had a value before
	Number  *int64 `json:"number,omitempty"`  // incr, decr: the value afterwards
	TTL     *int64 `json:"ttl_ms,omitempty"`  // get, ttl: how long the key is there, if it expires
}

func newPut(a *app) *cobra.Command {
	var key keyFlags
	var ttl ttlFlag
	var condition conditionFlags
	var chunked chunkedFlags
	cmd := &cobra.Command{
		Use:   "put KEY VALUE|-|@FILE",
		Short: "Store a value under a key",
		Long: `Store a value under a key. It is acknowledged when --consistency replicas have it durably.

The value is the argument itself, what standard input holds (-), or the contents of a file
(@FILE). A value that begins with @ is written \@..., the value "-" is \-, and -- goes before a
value that begins with a dash. Key and value may be any bytes.

With --ttl the key is gone after that time, by itself; without, it stays until it is deleted. Each put
says so anew; only one with --if-version keeps the expiry that the key has.

With --chunked, VALUE is - or the name of a file, of nearly any size: it is stored in blocks of 256 KiB,
and KEY has the new value when all are there. If the command is interrupted or killed, the same
command again goes on where it was. Such values do not expire.

With --create, --replace or --if-version nothing changes unless that holds; the exit code is then 4,
and the message has the version that is there.`,
		Example: `  chord put hello world
  chord put photo @cat.jpg
  date | chord put now -
  chord put --chunked backup backup.tar
  chord put temperature -- -12
  chord put --key-hex 00ff01 'a key with a NUL byte'
  chord put lock "$HOSTNAME" --create --ttl 30s
  chord put hello again --if-version 1700000000000.0-00000000000000ab`,
		Args: key.count(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, rest, err := key.take(args)
			if err != nil {
				return err
			}
			if chunked.on && ttl.text != "" {
				return cli.Usagef("--chunked excludes --ttl: large values do not expire")
			}
			if chunked.on {
				return a.putChunked(cmd.Context(), k, rest[0], condition, chunked)
			}
			v, err := a.readValue(rest[0])
			if err != nil {
				return fmt.Errorf("put %q: %w", k, err)
			}
			op := node.Op{Kind: node.OpPut, Key: k, Value: v}
			if err := condition.apply(&op); err != nil {
				return err
			}
			if err := ttl.apply(&op); err != nil {
				return err
			}
			return a.write(cmd.Context(), op, a.showWritten)
		},
	}
	key.add(cmd)
	ttl.add(cmd, " (default forever; with --if-version: as before)")
	condition.add(cmd, true)
	chunked.add(cmd)
	return cmd
}

func newGet(a *app) *cobra.Command {
	var key keyFlags
	var to string
	var patience time.Duration
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Print the value of a key",
		Long: `Print the value of a key, byte for byte; on a terminal a newline follows if the value does not
end with one. A key without a value is exit code 3.

A large value (put --chunked) is written block by block, each as soon as it is verified. With --to it
goes to FILE.part, and that becomes FILE when all is there: if the command is interrupted or killed,
the same command again goes on where it was.

With --consistency one a single replica answers, which may have missed the last write.

With -o json: {"key","value","version","acks"}, and "expires" and "ttl_ms" for a key that expires;
key_base64 and value_base64 stand in for what is not UTF-8.`,
		Example: `  chord get hello
  chord get photo > cat.jpg
  chord get backup --to backup.tar
  chord get hello -o json --consistency all`,
		Args: key.count(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, _, err := key.take(args)
			if err != nil {
				return err
			}
			return a.get(cmd.Context(), k, to, patience)
		},
	}
	key.add(cmd)
	cmd.Flags().StringVar(&to, "to", "", "write the value to this `file`")
	addPatience(cmd, &patience)
	return cmd
}

func (a *app) get(ctx context.Context, key []byte, to string, patience time.Duration) error {
	if err := checkPatience(patience); err != nil {
		return err
	}
	all := ctx // --timeout is for the first read alone
	return a.withClient(ctx, func(ctx context.Context, c client) error {
		if err := checkPair(ctx, c, pair{key: key}); err != nil {
			return fmt.Errorf("get %s: %w", quoteKey(key), err)
		}
		r, err := c.Do(ctx, node.Op{Kind: node.OpGet, Key: key, Level: a.globals.level})
		if err != nil {
			return err
		}
		if !r.Found {
			return notFound("get", key)
		}
		switch {
		case r.Manifest:
			return a.getChunked(all, c, key, r, to, patience)
		case to != "":
			return a.getToFile(key, r, to)
		}
		if a.json() {
			out := opResult(key, r)
			out.Value, out.ValueBase64 = textOrBase64(r.Value)
			out.Existed = nil
			return a.printJSON(out)
		}
		value := r.Value
		if a.stdoutTTY && !bytes.HasSuffix(value, []byte("\n")) {
			value = append(bytes.Clone(value), '\n')
		}
		_, err = a.stdout.Write(value)
		return err
	})
}

func newDel(a *app) *cobra.Command {
	var key keyFlags
	var condition conditionFlags
	cmd := &cobra.Command{
		Use:   "del KEY",
		Short: "Delete a key",
		Long: `Delete a key. A key that has no value is exit code 3; it has none afterwards either way.

With --if-version nothing changes unless the value has that version; the exit code is then 4, and the
message has the version that is there.`,
		Example: `  chord del hello
  chord del --key-hex 00ff01
  chord del lock --if-version 1700000000000.0-00000000000000ab`,
		Args: key.count(0),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, _, err := key.take(args)
			if err != nil {
				return err
			}
			op := node.Op{Kind: node.OpDelete, Key: k}
			if err := condition.apply(&op); err != nil {
				return err
			}
			return a.del(cmd.Context(), op)
		},
	}
	key.add(cmd)
	condition.add(cmd, false)
	return cmd
}

func (a *app) del(ctx context.Context, op node.Op) error {
	key := op.Key
	return a.withClient(ctx, func(ctx context.Context, c client) error {
		if err := checkPair(ctx, c, pair{key: key}); err != nil {
			return fmt.Errorf("delete %s: %w", quoteKey(key), err)
		}
		op.Level, op.Request = a.globals.level, newRequestID()
		r, err := c.Do(ctx, op)
		if err != nil {
			return err
		}
		if !r.Found {
			return notFound("delete", key)
		}
		a.noteReplaced(r)
		if a.json() {
			return a.printJSON(opResult(key, r))
		}
		a.showWritten(r)
		return nil
	})
}

// newRequestID names a write, so that the client may repeat it without harm.
func newRequestID() (id node.RequestID) {
	rand.Read(id[:]) // never fails
	return id
}

func opResult(key []byte, r node.Result) opJSON {
	out := opJSON{Version: r.Version.String(), Acks: r.Acks, Existed: &r.Found}
	out.Key, out.KeyBase64 = textOrBase64(key)
	if out.Expires = expiryText(r.Expires); r.Left > 0 {
		left := r.Left.Milliseconds()
		out.TTL = &left
	}
	return out
}

func notFound(op string, key []byte) error {
	return &cli.Failure{Exit: cli.ExitNotFound, Code: "NOT_FOUND", Message: fmt.Sprintf("%s %s: not found", op, quoteKey(key)), Err: errNotFound}
}

// quoteKey shows a key in a Message: quoted, and cut where it is longer than anyone reads.
func quoteKey(key []byte) string {
	const most = 64
	if len(key) <= most {
		return fmt.Sprintf("%q", key)
	}
	return fmt.Sprintf("%q... (%s bytes)", key[:most], cli.GroupDigits(int64(len(key))))
}

// plural writes "1 replica", "2 replicas".
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return cli.GroupDigits(n) + " " + noun + "s"
}
