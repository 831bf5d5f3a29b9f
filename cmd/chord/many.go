package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc"
)

// This file is mget, mput and mdel: operations on many keys, each with an outcome of its own.

const manyLong = `
Each key succeeds or fails for itself: what fails is reported and keeps no other from succeeding.
The exit code is 0 if all went well, else that of the failures, or 1 if they have several.`

func newMGet(a *app) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "mget KEY...|-",
		Short: "Print the values of many keys",
		Long: `Print keys and their values, in the order in which they were given, as lines KEY<TAB>VALUE with the
escapes of "chord export --format tsv". With - the keys are read from standard input, one a line:
as they stand, or with --format the keys of lines as "chord export" writes them.
` + manyLong + `
Keys that have no value are left out, and make the exit code 3 if nothing worse happened.

With -o json a line for each key: {"key","found","value","version","acks"} or {"key","error"};
key_base64 and value_base64 stand in for what is not UTF-8.`,
		Example: `  chord mget hello photo
  chord mget -o json hello photo
  cut -f1 pairs.tsv | chord mget -`,
		Args: manyArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.many(cmd.Context(), node.OpGet, args, lineFormat(format))
		},
	}
	addKeysFormat(cmd, &format)
	return cmd
}

func newMDel(a *app) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "mdel KEY...|-",
		Short: "Delete many keys",
		Long: `Delete keys. With - they are read from standard input, one a line: as they stand, or with --format the
keys of lines as "chord export" writes them.
` + manyLong + `
Keys that had no value make the exit code 3 if nothing worse happened.

With -o json a line for each key: {"key","version","acks","existed"} or {"key","error"}.`,
		Example: `  chord mdel hello photo
  chord export | grep '"key":"tmp-' | chord mdel - --format json`,
		Args: manyArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.many(cmd.Context(), node.OpDelete, args, lineFormat(format))
		},
	}
	addKeysFormat(cmd, &format)
	return cmd
}

func newMPut(a *app) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "mput KEY=VALUE...|-",
		Short: "Store values under many keys",
		Long: `Store values under keys. The key ends at the first =, and the value is what follows, as it stands.
With - the pairs are lines of standard input in a format of "chord import", which is the command for
files: it checks them first, tries for longer, and can be resumed.
` + manyLong + `
Repeating the command does no harm. Where a key comes more than once, its last value stays.

With -o json a line for each pair: {"key","version","acks","existed"} or {"key","error"}.`,
		Example: `  chord mput hello=world answer=42
  printf 'hello\tworld\n' | chord mput -
  chord mget -o json hello answer | chord mput - --server other:7400`,
		Args: manyArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.many(cmd.Context(), node.OpPut, args, lineFormat(format))
		},
	}
	cmd.Flags().StringVar(&format, "format", string(formatAuto), "of standard input: auto, json or tsv")
	cli.CompleteWith(cmd, "format", "auto", "json", "tsv")
	return cmd
}

func addKeysFormat(cmd *cobra.Command, format *string) {
	cmd.Flags().StringVar(format, "format", string(formatKeys), "of standard input: keys, json or tsv")
	cli.CompleteWith(cmd, "format", "keys", "json", "tsv")
}

var manyArgs = cli.Args(func(cmd *cobra.Command, args []string) error {
	for _, arg := range args {
		if arg == "-" && len(args) > 1 {
			return errors.New("- stands alone")
		}
	}
	return cobra.MinimumNArgs(1)(cmd, args)
})

// Bounds of what is sent together, and held in memory.
const (
	maxManyKeys  = 2048
	maxManyGets  = 256     // each brings a value, of a size that is not known before
	maxManyBytes = 8 << 20 // of keys and values that are sent
)

// many carries out operations of a kind, page by page: what is read from standard input may be larger than memory.
func (a *app) many(ctx context.Context, kind node.Kind, args []string, format lineFormat) error {
	switch {
	case format == formatJSON, format == formatTSV, format == formatAuto && kind == node.OpPut, format == formatKeys && kind != node.OpPut:
	case kind == node.OpPut:
		return cli.Usagef("--format %q: want auto, json or tsv", format)
	default:
		return cli.Usagef("--format %q: want keys, json or tsv", format)
	}
	var pairs []pair // of the command line, all of which is checked before anything is sent
	if args[0] != "-" {
		for _, arg := range args {
			p, err := pair{key: []byte(arg)}, error(nil)
			if kind == node.OpPut {
				p, err = parseAssignment(arg)
			}
			if err != nil {
				return err
			}
			pairs = append(pairs, p)
		}
	}
	c, err := a.open()
	if err != nil {
		return err
	}
	defer c.Close()
	hello, err := c.Hello(ctx)
	if err != nil {
		return err
	}
	m := &many{a: a, c: c, kind: kind}
	if args[0] == "-" {
		err = m.addLines(ctx, format, maxLineBytes(limitsOf(hello)))
	}
	for _, p := range pairs {
		err = errors.Join(err, m.add(ctx, p))
	}
	if err := errors.Join(m.flush(ctx), err); err != nil {
		return err
	}
	return m.outcome()
}

// parseAssignment reads KEY=VALUE.
func parseAssignment(arg string) (pair, error) {
	key, value, ok := strings.Cut(arg, "=")
	if !ok {
		return pair{}, cli.Usagef("%q: want KEY=VALUE", arg).WithHint("A key with = in it is read from standard input: chord mput -")
	}
	return pair{key: []byte(key), value: []byte(value)}, nil
}

// many is operations of one kind on many keys.
type many struct {
	a    *app
	c    client
	kind node.Kind

	ops    []node.Op // of the page
	bytes  int       // that it has
	keys   int64     // all so far
	failed int64
	absent int64        // keys that had no value
	left   int64        // large values that were replaced or deleted, of which some blocks may be left
	worst  *cli.Failure // of the failed ones; of several kinds, its Exit is cli.ExitOther
}

// addLines reads standard input.
func (m *many) addLines(ctx context.Context, format lineFormat, maxLine int) error {
	in, err := m.a.openInput("-")
	if err != nil {
		return err
	}
	if format == formatAuto {
		if format, err = in.detect(maxLine); err != nil {
			return err
		}
	}
	parse := format.parse
	if m.kind != node.OpPut {
		parse = format.parseKey
	}
	for r := newLineReader(in, lineRef{Line: 1}, maxLine); ; {
		line, at, err := r.read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil && len(line) == 0 {
			continue
		}
		var p pair
		if err == nil {
			p, err = parse(line)
		}
		if err != nil {
			return cli.Usagef("%s: line %d: %v", in.name, at.Line, err).WithHint("All lines before it were sent.")
		}
		if err := m.add(ctx, p); err != nil {
			return err
		}
	}
}

// add takes one more operation, and carries out those that are waiting when they are enough.
func (m *many) add(ctx context.Context, p pair) error {
	kind := m.kind
	if kind == node.OpPut && p.manifest {
		kind = node.OpManifest
	}
	m.ops = append(m.ops, node.Op{Kind: kind, Key: p.key, Value: p.value, Level: m.a.globals.level})
	most := maxManyKeys
	if kind == node.OpGet {
		most = maxManyGets
	}
	if m.bytes += len(p.key) + len(p.value); m.bytes < maxManyBytes && len(m.ops) < most {
		return nil
	}
	return m.flush(ctx)
}

// flush carries out what is waiting and shows what became of it.
func (m *many) flush(ctx context.Context) error {
	answers := rpc.DoAll(ctx, m.c.Do, m.ops)
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, answer := range answers {
		if err := m.show(m.ops[i].Key, answer.Result, answer.Err); err != nil {
			return err
		}
	}
	m.ops, m.bytes = m.ops[:0], 0
	return nil
}

// manyJSON is a line of the output with -o json.
type manyJSON struct {
	jsonPair
	Found   *bool      `json:"found,omitempty"` // of a get
	Version string     `json:"version,omitempty"`
	Acks    int        `json:"acks,omitempty"`
	Existed *bool      `json:"existed,omitempty"` // of a write: whether the key had a value before
	Error   *manyError `json:"error,omitempty"`
}

type manyError struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
}

// show counts the outcome of one operation, and prints it.
func (m *many) show(key []byte, r node.Result, err error) error {
	m.keys++
	var failure *cli.Failure
	if err == nil && m.kind == node.OpGet && r.Manifest {
		err = &cli.Failure{
			Exit: cli.ExitPrecondition, Code: "CHUNKED", Message: fmt.Sprintf("get %s: it has a large value", quoteKey(key)), Hint: `Read it with "chord get".`,
		}
	}
	if err != nil {
		failure = explain(err)
		m.fail(failure)
	} else if !r.Found && m.kind != node.OpPut {
		m.absent++
	}
	if err == nil && r.Replaced != nil {
		m.left++
	}
	if !m.a.json() {
		switch {
		case failure != nil:
			if m.failed <= maxReports {
				fmt.Fprintln(m.a.stderr, failure.Message)
			}
		case m.kind == node.OpGet && r.Found:
			_, err := m.a.stdout.Write(formatTSV.appendLine(nil, pair{key: key, value: r.Value}))
			return err
		}
		return nil
	}
	var out manyJSON
	out.Key, out.KeyBase64 = textOrBase64(key)
	switch {
	case failure != nil:
		out.Error = &manyError{failure.Code, failure.Message, failure.Retryable}
		return m.a.printJSON(out)
	case m.kind != node.OpGet:
		out.Existed = &r.Found
	default:
		out.Found = &r.Found
		if r.Found {
			out.Value, out.ValueBase64 = textOrBase64(r.Value)
		}
	}
	out.Acks = r.Acks
	if !r.Version.IsZero() {
		out.Version = r.Version.String()
	}
	return m.a.printJSON(out)
}

func (m *many) fail(f *cli.Failure) {
	m.failed++
	if m.worst == nil {
		m.worst = f
	} else if m.worst.Exit != f.Exit {
		m.worst = &cli.Failure{Exit: cli.ExitOther, Code: "INCOMPLETE", Retryable: m.worst.Retryable && f.Retryable}
	}
}

// outcome is the end of the command.
func (m *many) outcome() error {
	m.a.noteLeft(m.left)
	name := map[node.Kind]string{node.OpGet: "mget", node.OpPut: "mput", node.OpDelete: "mdel"}[m.kind]
	switch {
	case m.failed > 0:
		f := *m.worst
		f.Message = fmt.Sprintf("%s: %s of %s failed", name, cli.GroupDigits(m.failed), plural(m.keys, "key"))
		f.Err = nil // what is said of the addresses of one operation does not hold for all
		return &f
	case m.absent > 0 && !m.a.json():
		return &cli.Failure{
			Exit: cli.ExitNotFound, Code: "NOT_FOUND", Err: errNotFound,
			Message: fmt.Sprintf("%s: %s of %s not found", name, cli.GroupDigits(m.absent), plural(m.keys, "key")),
		}
	case m.absent > 0:
		return errSilent{cli.ExitNotFound} // each has been said to be
	case m.kind != node.OpGet && !m.a.json():
		m.a.printf("ok: %s\n", plural(m.keys, "key"))
	}
	return nil
}
