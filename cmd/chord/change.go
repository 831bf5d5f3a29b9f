package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
)

// This file is the writes that depend on what is stored: the conditions of put and del, and cas, incr, decr, append and prepend.

// conditionFlags are what must hold of a key, or a write changes nothing.
type conditionFlags struct {
	create, replace bool
	version         string
}

// add adds --if-version, and for a put the others.
func (f *conditionFlags) add(cmd *cobra.Command, put bool) {
	if put {
		cmd.Flags().BoolVar(&f.create, "create", false, "only if the key has no value")
		cmd.Flags().BoolVar(&f.replace, "replace", false, "only if the key has a value")
	}
	cmd.Flags().StringVar(&f.version, "if-version", "", "only if the value has this `version`, as put and get -o json show it")
}

// apply sets the condition of an operation.
func (f *conditionFlags) apply(op *node.Op) error {
	given := 0
	for _, set := range []bool{f.create, f.replace, f.version != ""} {
		if set {
			given++
		}
	}
	switch {
	case given > 1:
		return cli.Usagef("--create, --replace and --if-version exclude each other")
	case f.create:
		op.If = node.IfAbsent
	case f.replace:
		op.If = node.IfPresent
	case f.version != "":
		v, err := node.ParseVersion(f.version)
		if err != nil {
			return cli.Usagef("--if-version: %v", err)
		}
		op.If, op.Version = node.IfVersion, v
	}
	return nil
}

// write executes a write and prints what became of it with show, or as JSON.
func (a *app) write(ctx context.Context, op node.Op, show func(r node.Result)) error {
	return a.withClient(ctx, func(ctx context.Context, c client) error {
		if err := checkPair(ctx, c, pair{key: op.Key, value: op.Value}); err != nil {
			f := explain(fmt.Errorf("%v %s: %w", op.Kind, quoteKey(op.Key), err))
			if op.Kind == node.OpPut && checkPair(ctx, c, pair{key: op.Key}) == nil {
				f.Hint = "Larger values are stored in blocks: chord put --chunked KEY FILE"
			}
			return f
		}
		op.Level, op.Request = a.globals.level, newRequestID()
		r, err := c.Do(ctx, op)
		if err != nil {
			return unsure(op, err)
		}
		a.noteReplaced(r)
		if a.json() {
			out := opResult(op.Key, r)
			if op.Kind == node.OpIncrement {
				out.Number = &r.Number
			}
			return a.printJSON(out)
		}
		show(r)
		return nil
	})
}

// unsure says what to do about a write that may have taken effect, where repeating the command does harm.
func unsure(op node.Op, err error) error {
	if op.Kind <= node.OpDelete || !errors.Is(err, node.ErrUnknown) {
		return err
	}
	return explain(err).WithHint("Read the key to see: repeating the command is another %v.", op.Kind)
}

// showWritten is how a write is shown whose result is no more than that.
func (a *app) showWritten(r node.Result) {
	a.printf("ok: version %s%s, on %s\n", r.Version, untilText(r), plural(int64(r.Acks), "replica"))
}

func newCas(a *app) *cobra.Command {
	var key keyFlags
	var ttl ttlFlag
	cmd := &cobra.Command{
		Use:   "cas KEY OLD NEW",
		Short: "Replace a value if it is what you think it is",
		Long: `Compare and set: replace the value OLD of a key by NEW. If the key has another value, or none,
nothing changes, and the exit code is 4.

OLD and NEW are given as the VALUE of put: itself, - for standard input, or @FILE. Who knows the
version of the value compares that instead: "chord put --if-version".`,
		Example: `  chord cas leader none node-7
  chord cas settings @old.json @new.json`,
		Args: key.count(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, rest, err := key.take(args)
			if err != nil {
				return err
			}
			if rest[0] == "-" && rest[1] == "-" {
				return cli.Usagef("OLD and NEW cannot both be standard input")
			}
			var values [2][]byte
			for i := range values {
				if values[i], err = a.readValue(rest[i]); err != nil {
					return fmt.Errorf("cas %s: %w", quoteKey(k), err)
				}
			}
			op := node.Op{Kind: node.OpPut, Key: k, Value: values[1], If: node.IfVersion}
			if err := ttl.apply(&op); err != nil {
				return err
			}
			return a.cas(cmd.Context(), op, values[0])
		},
	}
	key.add(cmd)
	ttl.add(cmd, keepsExpiry)
	return cmd
}

// cas replaces a value by version, so that a write between its read and its write is noticed.
func (a *app) cas(ctx context.Context, op node.Op, old []byte) error {
	key := op.Key
	return a.withClient(ctx, func(ctx context.Context, c client) error {
		if err := checkPair(ctx, c, pair{key: key, value: op.Value}); err != nil {
			return fmt.Errorf("cas %s: %w", quoteKey(key), err)
		}
		for {
			now, err := c.Do(ctx, node.Op{Kind: node.OpGet, Key: key, Level: a.globals.level})
			if err != nil {
				return err
			}
			if !now.Found || now.Manifest || !bytes.Equal(now.Value, old) {
				return otherValue(key, now)
			}
			op.Level, op.Request, op.Version = a.globals.level, newRequestID(), now.Version
			r, err := c.Do(ctx, op)
			switch {
			case errors.Is(err, node.ErrCondition) && !errors.Is(err, node.ErrUnknown) && ctx.Err() == nil:
				continue // somebody wrote it meanwhile, maybe OLD again
			case err != nil:
				return err
			case a.json():
				return a.printJSON(opResult(key, r))
			}
			a.showWritten(r)
			return nil
		}
	})
}

// otherValue is the failure of a cas whose key does not have the value OLD.
func otherValue(key []byte, now node.Result) error {
	f := &cli.Failure{Exit: cli.ExitPrecondition, Code: "CONDITION", Err: node.ErrCondition}
	f.Message = fmt.Sprintf("cas %s: condition not met: the key has no value", quoteKey(key))
	f.Hint = `Create it with "chord put --create".`
	if now.Found {
		f.Message = fmt.Sprintf("cas %s: condition not met: the key has another value, version %v", quoteKey(key), now.Version)
		f.Hint = `Read it with "chord get", and decide again.`
	}
	return f
}

func newIncr(a *app) *cobra.Command {
	return newCounter(a, "incr", "Add to a number", "Add N, by default 1, to the number", +1, `  chord incr visits
  chord incr balance 250
  chord incr ticket --initial 1000
  chord incr balance -- -250`)
}

func newDecr(a *app) *cobra.Command {
	return newCounter(a, "decr", "Subtract from a number", "Subtract N, by default 1, from the number", -1, `  chord decr stock
  chord decr stock 12`)
}

func newCounter(a *app, name, short, does string, sign int64, example string) *cobra.Command {
	var key keyFlags
	var ttl ttlFlag
	var initial int64
	cmd := &cobra.Command{
		Use:   name + " KEY [N]",
		Short: short,
		Long: does + ` that a key has, and print what it is then.

The value is a decimal integer of 64 bits; if it is something else, or the result would not fit,
nothing changes, and the exit code is 4. A key without a value counts from --initial.

A request that is repeated because its answer was lost counts once.`,
		Example: example,
		RunE: func(cmd *cobra.Command, args []string) error {
			k, rest, err := key.take(args)
			if err != nil {
				return err
			}
			n := int64(1)
			if len(rest) > 0 {
				if n, err = strconv.ParseInt(rest[0], 10, 64); err != nil || sign*n == n && n < 0 && sign < 0 {
					return cli.Usagef("%s %s: %q is no integer of 64 bits", name, quoteKey(k), rest[0])
				}
			}
			op := node.Op{Kind: node.OpIncrement, Key: k, Add: sign * n, Initial: initial}
			if err := ttl.apply(&op); err != nil {
				return err
			}
			return a.write(cmd.Context(), op, func(r node.Result) { fmt.Fprintln(a.stdout, r.Number) })
		},
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if key.count(0)(cmd, args) == nil {
			return nil
		}
		return key.count(1)(cmd, args)
	}
	key.add(cmd)
	ttl.add(cmd, keepsExpiry)
	cmd.Flags().Int64Var(&initial, "initial", 0, "what a key without a value counts from")
	return cmd
}

func newAppend(a *app) *cobra.Command {
	return newExtend(a, node.OpAppend, "Put bytes behind a value", `  chord append log 'started; '
  date | chord append log -`)
}

func newPrepend(a *app) *cobra.Command {
	return newExtend(a, node.OpPrepend, "Put bytes before a value", `  chord prepend queue 'urgent '`)
}

func newExtend(a *app, kind node.Kind, short, example string) *cobra.Command {
	var key keyFlags
	var ttl ttlFlag
	cmd := &cobra.Command{
		Use:   kind.String() + " KEY VALUE|-|@FILE",
		Short: short,
		Long: short + `. A key without a value is as if it had an empty one. The limit for values holds
for the result. VALUE is given as that of put.

A request that is repeated because its answer was lost takes effect once.`,
		Example: example,
		Args:    key.count(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, rest, err := key.take(args)
			if err != nil {
				return err
			}
			v, err := a.readValue(rest[0])
			if err != nil {
				return fmt.Errorf("%v %s: %w", kind, quoteKey(k), err)
			}
			op := node.Op{Kind: kind, Key: k, Value: v}
			if err := ttl.apply(&op); err != nil {
				return err
			}
			return a.write(cmd.Context(), op, func(r node.Result) {
				a.printf("ok: %s, version %s, on %s\n", plural(r.Number, "byte"), r.Version, plural(int64(r.Acks), "replica"))
			})
		},
	}
	key.add(cmd)
	ttl.add(cmd, keepsExpiry)
	return cmd
}
