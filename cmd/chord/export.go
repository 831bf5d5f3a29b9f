package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
	"github.com/chordkv/chord/ring"
	"github.com/chordkv/chord/rpc"
	"github.com/chordkv/chord/rpc/chunk"
)

type exportFlags struct {
	format     string
	resume     bool
	force      bool
	checkpoint string
}

func newExport(a *app) *cobra.Command {
	var f exportFlags
	cmd := &cobra.Command{
		Use:   "export [FILE|-]",
		Short: "Write every key and value to a file",
		Long: `Write every key with its value, one a line, to a file or standard output, in ring order. Each
key comes exactly once. Keys that are written or deleted meanwhile may be seen or not.

The formats are those of "chord import"; json keeps when a key expires. Large values (put --chunked)
are written as the ring keeps them, blocks and manifests apart; in tsv they are left out, and the exit
code is 1. A checkpoint (FILE.checkpoint) is written every second:
--resume goes on there after an interruption. It is deleted when all is done. A file that exists
is not overwritten without --force.`,
		Example: `  chord export dump.jsonl
  chord export dump.tsv --format tsv
  chord export | gzip > dump.jsonl.gz
  chord export dump.jsonl --resume`,
		Args: cli.Args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "-"
			if len(args) == 1 {
				path = args[0]
			}
			if err := f.check(path); err != nil {
				return err
			}
			return a.export(cmd.Context(), path, f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.format, "format", string(formatJSON), "json or tsv")
	fl.BoolVar(&f.resume, "resume", false, "go on where the checkpoint says")
	fl.BoolVar(&f.force, "force", false, "overwrite FILE")
	fl.StringVar(&f.checkpoint, "checkpoint", "", "`file` for the checkpoint (default FILE.checkpoint)")
	cli.CompleteWith(cmd, "format", "json", "tsv")
	return cmd
}

func (f *exportFlags) check(path string) error {
	if l := lineFormat(f.format); l != formatJSON && l != formatTSV {
		return cli.Usagef("--format %q: want json or tsv", f.format)
	}
	if path == "-" && (f.resume || f.checkpoint != "" || f.force) {
		return cli.Usagef("--resume, --checkpoint and --force need a FILE")
	}
	if f.resume && f.force {
		return cli.Usagef("--resume and --force exclude each other")
	}
	if f.checkpoint == "" {
		f.checkpoint = path + ".checkpoint"
	}
	return nil
}

func (a *app) export(ctx context.Context, path string, f exportFlags) error {
	c, err := a.open()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Hello(ctx); err != nil {
		return err // before a file is made for nothing
	}
	x := &exporter{level: a.globals.level, state: exportCheckpoint{Format: lineFormat(f.format)}}
	summary := a.stderr // where it is out of the way of the data
	if path == "-" {
		x.out = bufio.NewWriterSize(a.stdout, exportBuffer)
	} else {
		file, err := x.openFile(path, f)
		if err != nil {
			return err
		}
		defer file.Close()
		summary = a.stdout
	}
	bar := a.startProgress("export", "keys", x.gauge)
	start := time.Now()
	err = errors.Join(x.run(ctx, c), x.save())
	took := time.Since(start)
	bar.Stop()
	switch {
	case err == nil && x.file != nil:
		err = removeCheckpoint(f.checkpoint)
	case err != nil && x.file != nil:
		a.note("The checkpoint is %s: the same command with --resume goes on.", f.checkpoint)
	}
	if err != nil {
		return err
	}
	a.noteExpiring(x.state.Format, x.expiring)
	if err := a.reportExport(summary, x, took); err != nil || x.left == 0 {
		return err
	}
	return (&cli.Failure{
		Exit: cli.ExitOther, Code: "INCOMPLETE", Message: fmt.Sprintf("export incomplete: %s left out", plural(x.left, "large value")),
	}).WithHint("The format json has them.")
}

func (a *app) reportExport(w io.Writer, x *exporter, took time.Duration) error {
	rate := float64(x.added) / max(took.Seconds(), 1e-9)
	if a.json() {
		if w != a.stdout {
			return nil // standard error is for errors alone, standard output for the keys
		}
		return a.printJSON(map[string]any{"keys": x.state.Keys, "elapsed_ns": int64(took), "keys_per_second": rate})
	}
	if !a.globals.quiet {
		fmt.Fprintf(w, "%s exported in %s (%s/s)\n", plural(x.state.Keys, "key"), roundDuration(took), cli.GroupDigits(int64(rate)))
	}
	return nil
}

const exportBuffer = 256 << 10

// exporter writes what a scan of the whole ring meets.
type exporter struct {
	level    node.Level
	out      *bufio.Writer
	file     *os.File // nil on standard output
	path     string   // of the checkpoint
	state    exportCheckpoint
	line     []byte
	added    int64 // keys of this run
	expiring int64 // of these, keys that expire
	left     int64 // large values that the format cannot say
	saved    time.Time

	count atomic.Int64  // state.Keys, for the progress bar
	part  atomic.Uint64 // bits of the part of the ring that is done
}

// openFile opens or creates the file, cut to where the checkpoint says that it is complete.
func (x *exporter) openFile(path string, f exportFlags) (*os.File, error) {
	x.path = f.checkpoint
	mode := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	switch {
	case f.resume:
		if err := loadCheckpoint(f.checkpoint, &x.state); err != nil {
			return nil, err
		}
		mode = os.O_WRONLY
	case f.force:
		mode = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	file, err := os.OpenFile(path, mode, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil, cli.Usagef("export: %s exists", path).WithHint("Go on with --resume, overwrite it with --force, or name another file.")
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, cli.Usagef("export: %v", err)
	}
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	if st, err := file.Stat(); err == nil && st.Size() < x.state.Offset {
		file.Close()
		return nil, cli.Usagef("export: %s is shorter than checkpoint %s says", path, f.checkpoint).WithHint("Start again with --force.")
	}
	if f.resume {
		err = file.Truncate(x.state.Offset)
	}
	if _, seekErr := file.Seek(x.state.Offset, io.SeekStart); err != nil || seekErr != nil {
		file.Close()
		return nil, fmt.Errorf("export: %w", errors.Join(err, seekErr))
	}
	x.file, x.out, x.saved = file, bufio.NewWriterSize(file, exportBuffer), time.Now()
	x.count.Store(x.state.Keys)
	return file, nil
}

func (x *exporter) run(ctx context.Context, c client) error {
	x.part.Store(math.Float64bits(x.startPart()))
	opts := rpc.ScanOptions{Level: x.level, Progress: func(done float64) { x.part.Store(math.Float64bits(done)) }}
	return c.Scan(ctx, ring.FullArc(), node.Cursor{Key: x.state.LastKey}, opts, x.add)
}

// startPart is the part of the ring that an earlier run has done.
func (x *exporter) startPart() float64 {
	if x.state.LastKey == nil {
		return 0
	}
	return (ring.Arc{After: ring.FullArc().After, Through: ring.Hash(x.state.LastKey)}).Share()
}

func (x *exporter) add(r node.Record) error {
	if x.state.Format == formatTSV && (r.Manifest || chunk.Internal(r.Key)) {
		if r.Manifest {
			x.left++
		}
		x.state.LastKey = append(x.state.LastKey[:0], r.Key...)
		return nil
	}
	x.line = x.state.Format.appendLine(x.line[:0], pair{r.Key, r.Value, r.Manifest, r.Expires})
	if r.Expires != 0 {
		x.expiring++
	}
	if _, err := x.out.Write(x.line); err != nil {
		return err
	}
	x.state.Offset += int64(len(x.line))
	x.state.LastKey = append(x.state.LastKey[:0], r.Key...)
	x.state.Keys++
	x.added++
	x.count.Store(x.state.Keys)
	if x.file != nil && time.Since(x.saved) > saveEvery {
		x.saved = time.Now()
		return x.save()
	}
	return nil
}

// save makes durable what has been written, and says so in the checkpoint.
func (x *exporter) save() error {
	if err := x.out.Flush(); err != nil || x.file == nil {
		return err
	}
	if err := x.file.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return saveCheckpoint(x.path, x.state)
}

func (x *exporter) gauge() cli.Gauge {
	return cli.Gauge{Done: math.Float64frombits(x.part.Load()), Count: x.count.Load()}
}
