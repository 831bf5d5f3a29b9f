package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/rpc/chunk"
)

// This file is put --chunked, and get of what it stored.

type chunkedFlags struct {
	on       bool
	parallel int
	patience time.Duration
}

func (f *chunkedFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.on, "chunked", false, "store a file of nearly any size, in blocks")
	cmd.Flags().IntVar(&f.parallel, "parallel", 16, "with --chunked: blocks that are sent at a time, and held in memory")
	addPatience(cmd, &f.patience)
}

func addPatience(cmd *cobra.Command, d *time.Duration) {
	cmd.Flags().DurationVar(d, "retry-for", time.Minute, "how long a block of a large value that fails is tried")
}

func (f *chunkedFlags) check(condition conditionFlags) error {
	switch {
	case condition != (conditionFlags{}):
		return cli.Usagef("--chunked excludes --create, --replace and --if-version")
	case f.parallel < 1 || f.parallel > 1024:
		return cli.Usagef("--parallel %d: want 1 to 1024", f.parallel)
	}
	return checkPatience(f.patience)
}

func checkPatience(d time.Duration) error {
	if d <= 0 {
		return cli.Usagef("--retry-for %v: want more than 0", d)
	}
	return nil
}

// noteReplaced says that a write took the place of a large value, of which some blocks may be left.
func (a *app) noteReplaced(r node.Result) {
	if r.Replaced != nil {
		a.noteLeft(1)
	}
}

func (a *app) noteLeft(values int64) {
	switch {
	case values == 1:
		a.note(`Not all blocks of the value before could be freed: "chord gc-chunks" finds them.`)
	case values > 1:
		a.note(`Not all blocks of %s that were there before could be freed: "chord gc-chunks" finds them.`, plural(values, "value"))
	}
}

// transfer counts what has been done of a large value, for its bar.
type transfer struct {
	size        int64 // -1 if unknown
	done, known atomic.Int64
}

func (t *transfer) progress(bytes int64, known bool) {
	if t.done.Add(bytes); known {
		t.known.Add(bytes)
	}
}

func (t *transfer) gauge() cli.Gauge {
	g := cli.Gauge{Done: -1, Count: t.done.Load() >> 10}
	if t.size >= 0 {
		g.Done = float64(t.done.Load()) / float64(max(t.size, 1))
	}
	if known := t.known.Load(); known > 0 {
		g.Suffix = fmt.Sprintf(", %s KiB were there", cli.GroupDigits(known>>10))
	}
	return g
}

// chunkedJSON is what is printed of a large value with -o json.
type chunkedJSON struct {
	opJSON
	Upload string `json:"upload"`
	Bytes  int64  `json:"bytes"`
	Blocks int64  `json:"blocks"`
	Known  int64  `json:"known_bytes"` // that an earlier run had stored, or fetched
	File   string `json:"file,omitempty"`
}

func (a *app) putChunked(ctx context.Context, key []byte, path string, condition conditionFlags, f chunkedFlags) error {
	if err := f.check(condition); err != nil {
		return err
	}
	src, t := a.stdin, &transfer{size: -1}
	if path != "-" {
		file, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			return cli.Usagef("%v", err)
		}
		if err != nil {
			return err
		}
		defer file.Close()
		st, err := file.Stat()
		if err != nil {
			return err
		}
		if src = file; st.Mode().IsRegular() {
			t.size = st.Size()
		}
	}
	c, err := a.open()
	if err != nil {
		return err
	}
	defer c.Close()
	bar := a.startProgress("put", "KiB", t.gauge)
	start := time.Now()
	u, err := chunk.Upload(ctx, c, key, src, t.size, chunk.Options{Level: a.globals.level, Parallel: f.parallel, Patience: f.patience, Progress: t.progress})
	took := time.Since(start)
	bar.Stop()
	if err != nil {
		return chunkedError("put", key, err)
	}
	a.noteReplaced(u.Result)
	if a.json() {
		return a.printJSON(chunkedJSON{opJSON: opResult(key, u.Result), Upload: u.Manifest.Upload.String(), Bytes: u.Manifest.Size, Blocks: u.Manifest.Blocks(), Known: u.Known})
	}
	a.printf("ok: version %s, on %s, %s in %s%s, in %s\n", u.Result.Version, plural(int64(u.Result.Acks), "replica"), plural(u.Manifest.Size, "byte"),
		plural(u.Manifest.Blocks(), "block"), wereThere(u.Known), roundDuration(took))
	return nil
}

func wereThere(bytes int64) string {
	if bytes == 0 {
		return ""
	}
	return fmt.Sprintf(" (%s of them were there)", plural(bytes, "byte"))
}

// chunkedError words the failure of an upload or download.
func chunkedError(op string, key []byte, err error) error {
	failure := func(code, hint string) error {
		return &cli.Failure{Exit: cli.ExitOther, Code: code, Message: err.Error(), Hint: hint, Retryable: true, Err: err}
	}
	switch {
	case errors.Is(err, chunk.ErrReplaced):
		return failure("REPLACED", "Repeat the command to get the new value.")
	case errors.Is(err, chunk.ErrTakenOver):
		return failure("TAKEN_OVER", "Repeat the command when the other one has ended.")
	case op == "put" && errors.Is(err, context.Canceled):
		f := explain(err)
		f.Message, f.Hint = fmt.Sprintf("put %s: interrupted", quoteKey(key)), "The same command again sends the rest."
		return f
	}
	return err
}

// getChunked writes a large value to standard output or a file.
func (a *app) getChunked(ctx context.Context, c client, key []byte, r node.Result, to string, patience time.Duration) error {
	t := &transfer{}
	v, err := chunk.Open(c, key, r, chunk.Options{Level: a.globals.level, Patience: patience, Progress: t.progress})
	if err != nil {
		return err
	}
	t.size = v.Size
	if to == "" {
		if a.json() {
			return cli.Usagef("get %s: the value has %s: name a file for it with --to", quoteKey(key), plural(v.Size, "byte"))
		}
		return chunkedError("get", key, v.Download(ctx, a.stdout, 0))
	}
	bar := a.startProgress("get", "KiB", t.gauge)
	start := time.Now()
	err = download(ctx, v, to)
	took := time.Since(start)
	bar.Stop()
	if err != nil {
		return chunkedError("get", key, err)
	}
	if a.json() {
		out := chunkedJSON{opJSON: opResult(key, r), Upload: v.Upload.String(), Bytes: v.Size, Blocks: v.Blocks(), Known: t.known.Load(), File: to}
		out.Existed = nil
		return a.printJSON(out)
	}
	a.printf("ok: version %s, %s%s, in %s\n", r.Version, plural(v.Size, "byte"), wereThere(t.known.Load()), roundDuration(took))
	return nil
}

// download writes a value to a file, through another one beside it, which an earlier try may have left.
func download(ctx context.Context, v *chunk.Value, path string) error {
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close() // again, if all went well
	have, err := v.Have(ctx, f)
	if err != nil {
		return err
	}
	at := min(have*int64(v.BlockBytes), v.Size)
	if err := f.Truncate(at); err != nil {
		return err
	}
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return err
	}
	if err := v.Download(ctx, f, have); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(part, path)
}

// getToFile writes an ordinary value to a file.
func (a *app) getToFile(key []byte, r node.Result, path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already if all went well
	_, err = io.Copy(f, bytes.NewReader(r.Value))
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	if a.json() {
		out := opResult(key, r)
		out.Existed = nil
		return a.printJSON(out)
	}
	a.printf("ok: version %s, %s\n", r.Version, plural(int64(len(r.Value)), "byte"))
	return nil
}

func newGCChunks(a *app) *cobra.Command {
	var olderThan time.Duration
	var yes bool
	cmd := &cobra.Command{
		Use:   "gc-chunks",
		Short: "Find and free the blocks of large values that nobody needs",
		Long: `Find the blocks that uploads (put --chunked) which were never finished have left, and those of values
that were overwritten or deleted by a client which could not free all of them. All keys of the ring
are looked at, no values. With --yes the blocks are deleted; the same upload then begins anew.

Do that only while the ring is whole: "chord ring --check" is ok and no process is missing.`,
		Example: `  chord gc-chunks
  chord gc-chunks --older-than 168h --yes`,
		Args: cli.Args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if olderThan < time.Minute {
				return cli.Usagef("--older-than %v: want at least 1m", olderThan)
			}
			return a.gcChunks(cmd.Context(), olderThan, yes)
		},
	}
	cmd.Flags().DurationVar(&olderThan, "older-than", 24*time.Hour, "leave uploads alone that have sent anything in this time")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "delete them")
	return cmd
}

func (a *app) gcChunks(ctx context.Context, olderThan time.Duration, yes bool) error {
	c, err := a.open()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Hello(ctx); err != nil {
		return err
	}
	var part atomic.Uint64 // the bits of the part of the ring that has been searched
	var keys atomic.Int64
	opts := chunk.CollectOptions{OlderThan: olderThan, Progress: func(done float64, met int64) {
		part.Store(math.Float64bits(done))
		keys.Store(met)
	}}
	bar := a.startProgress("gc-chunks", "keys", func() cli.Gauge { return cli.Gauge{Done: math.Float64frombits(part.Load()), Count: keys.Load()} })
	defer bar.Stop()
	left, err := chunk.Leftovers(ctx, c, opts)
	var freed int64
	if err == nil && yes && len(left) > 0 {
		freed, err = chunk.Collect(ctx, c, left, opts)
	}
	bar.Stop()
	if err != nil {
		return err
	}
	for _, l := range left {
		if err := a.showLeftover(l); err != nil {
			return err
		}
	}
	switch {
	case a.json() && yes:
		return a.printJSON(map[string]int64{"freed_blocks": freed})
	case a.json():
	case yes:
		a.printf("%s freed\n", plural(freed, "block"))
	case len(left) > 0:
		a.note("Nothing was deleted: --yes does that.")
	default:
		a.printf("nothing is left over\n")
	}
	return nil
}

func (a *app) showLeftover(l chunk.Leftover) error {
	if a.json() {
		out := struct {
			jsonPair
			Upload string    `json:"upload"`
			Blocks int64     `json:"blocks"`
			Last   time.Time `json:"last"`
		}{Upload: l.Upload.String(), Blocks: l.Blocks, Last: l.Last.UTC()}
		if l.Key != nil {
			out.Key, out.KeyBase64 = textOrBase64(l.Key)
		}
		return a.printJSON(out)
	}
	key := "a key that is not known any more"
	if l.Key != nil {
		key = quoteKey(l.Key)
	}
	_, err := fmt.Fprintf(a.stdout, "%s  %s  %s  %s\n", l.Last.UTC().Format(time.DateTime), l.Upload, strings.TrimSpace(plural(l.Blocks, "block")), key)
	return err
}
