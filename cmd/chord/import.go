package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/node"
)

type importFlags struct {
	format      string
	inFlight    int
	retryFor    time.Duration
	maxFailures int
	skipBad     bool
	resume      bool
	checkpoint  string
}

func newImport(a *app) *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Put every line of a file",
		Long: `Put every line of a file, many at a time. Formats, told apart by the first line unless --format
is given:

  json   {"key":"k","value":"v"}; key_base64 and value_base64 stand in for what is not UTF-8; "expires", a time of
         RFC 3339, is when the key expires; "manifest":true marks the entry of a large value, as "chord export"
         writes it; other members are ignored
  tsv    KEY<TAB>VALUE, with the escapes \t \n \r \\ and \xHH for any byte
  keys   every line is a key as it stands, with an empty value (only with --format)

Blank lines are ignored. Where a key comes more than once, its last line wins.

A file is checked whole before anything is sent: a malformed line, or a key or value over the
ring's limits, is an error with its number and nothing is stored. Standard input cannot be
checked ahead: a bad line ends the import there, with all lines before it sent. With --skip-bad
such lines are reported and left out.

A line that fails, for example because a process died, is tried again for --retry-for. What is
done is written to a checkpoint (FILE.checkpoint) every second and at the end: after an
interruption, failed lines or a kill, --resume sends exactly what was not acknowledged (after a
kill also what was acknowledged in its last second). The checkpoint is deleted when all is done.`,
		Example: `  chord import words.tsv
  chord import dump.jsonl --in-flight 256 --consistency all
  chord import dump.jsonl --resume
  awk '{print $1 "\t" $2}' table | chord import -`,
		Args: cli.Args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error { return a.importFile(cmd.Context(), args[0], f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.format, "format", string(formatAuto), "auto, json, tsv or keys")
	fl.IntVar(&f.inFlight, "in-flight", 128, "puts under way at a time")
	fl.DurationVar(&f.retryFor, "retry-for", time.Minute, "how long a line that fails is tried")
	fl.IntVar(&f.maxFailures, "max-failures", 1000, "failed lines that end the import")
	fl.BoolVar(&f.skipBad, "skip-bad", false, "report malformed lines and leave them out")
	fl.BoolVar(&f.resume, "resume", false, "go on where the checkpoint says")
	fl.StringVar(&f.checkpoint, "checkpoint", "", "`file` for the checkpoint (default FILE.checkpoint; none for standard input)")
	cli.CompleteWith(cmd, "format", "auto", "json", "tsv", "keys")
	return cmd
}

func (f *importFlags) check(path string) error {
	switch lineFormat(f.format) {
	case formatAuto, formatJSON, formatTSV, formatKeys:
	default:
		return cli.Usagef("--format %q: want auto, json, tsv or keys", f.format)
	}
	switch {
	case f.inFlight < 1 || f.inFlight > 1<<16:
		return cli.Usagef("--in-flight %d: want 1 to %d", f.inFlight, 1<<16)
	case f.retryFor < 0:
		return cli.Usagef("--retry-for %v: want at least 0", f.retryFor)
	case f.maxFailures < 1:
		return cli.Usagef("--max-failures %d: want at least 1", f.maxFailures)
	}
	if f.checkpoint == "" && path != "-" {
		f.checkpoint = path + ".checkpoint"
	}
	if f.resume && f.checkpoint == "" {
		return cli.Usagef("--resume from standard input needs --checkpoint")
	}
	return nil
}

func (a *app) importFile(ctx context.Context, path string, f importFlags) error {
	if err := f.check(path); err != nil {
		return err
	}
	in, err := a.openInput(path)
	if err != nil {
		return err
	}
	defer in.close()
	var from importCheckpoint
	if f.resume {
		if err := loadCheckpoint(f.checkpoint, &from); err != nil {
			return err
		}
		if from.Input != in.print {
			return cli.Usagef("%s is not, or not any more, the file that checkpoint %s belongs to", path, f.checkpoint).
				WithHint("Leave out --resume to import it from the beginning.")
		}
	}
	from.Input = in.print
	if from.Format == "" {
		from.Format = lineFormat(f.format)
	}
	c, err := a.open()
	if err != nil {
		return err
	}
	defer c.Close()
	return a.importFrom(ctx, in, f, from, c)
}

// importFrom is an import once everything is open.
func (a *app) importFrom(ctx context.Context, in *input, f importFlags, from importCheckpoint, c client) error {
	hello, err := c.Hello(ctx)
	if err != nil {
		return err
	}
	if from.Format == formatAuto {
		if from.Format, err = in.detect(maxLineBytes(limitsOf(hello))); err != nil {
			return err
		}
	}
	cfg := importConfig{
		format: from.Format, limits: limitsOf(hello), inFlight: f.inFlight, keyDeadline: f.retryFor, maxFailures: f.maxFailures,
		skipBad: f.skipBad, level: a.globals.level,
	}
	if err := a.validate(ctx, in, cfg); err != nil {
		return err
	}
	reports := &badLines{a: a, left: maxReports}
	var left atomic.Int64 // large values that were replaced, of which some blocks may be left
	do := func(ctx context.Context, op node.Op) (node.Result, error) {
		r, err := c.Do(ctx, op)
		if err == nil && r.Replaced != nil {
			left.Add(1)
		}
		return r, err
	}
	im := newImporter(cfg, from, do, reports.report)
	start := im.startAt()
	if err := in.skipTo(start.Offset); err != nil {
		return err
	}
	saver := startSaver(f.checkpoint, im)
	bar := a.startProgress("import", "lines", func() cli.Gauge {
		r, offset := im.counts()
		return cli.Gauge{Done: in.part(offset), Count: r.Acknowledged, Suffix: failedSuffix(r)}
	})
	began := time.Now()
	stopped := im.run(ctx, newLineReader(in, start, maxLineBytes(cfg.limits)))
	took := time.Since(began)
	bar.Stop()
	state := im.checkpoint()
	complete := stopped == nil && len(state.Redo) == 0
	saveErr := saver.stop(complete)
	result, _ := im.counts()
	a.noteLeft(left.Load())
	if err := a.reportImport(result, took, f.checkpoint, complete); err != nil {
		return err
	}
	return errors.Join(importError(result, stopped), saveErr)
}

func failedSuffix(r importResult) string {
	if r.Failed == 0 {
		return ""
	}
	return ", " + cli.GroupDigits(r.Failed) + " failed"
}

// validate checks every line of a file before anything is sent.
func (a *app) validate(ctx context.Context, in *input, cfg importConfig) error {
	if in.file == nil || cfg.skipBad {
		return nil
	}
	defer in.rewind()
	r := newLineReader(in, lineRef{Line: 1}, maxLineBytes(cfg.limits))
	var lines, offset atomic.Int64
	bar := a.startProgress("check", "lines", func() cli.Gauge {
		return cli.Gauge{Done: in.part(offset.Load()), Count: lines.Load()}
	})
	defer bar.Stop()
	for ctx.Err() == nil {
		line, at, err := r.read()
		lines.Store(at.Line)
		offset.Store(at.Offset)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err == nil && len(line) == 0:
			continue
		case err == nil:
			var p pair
			if p, err = cfg.format.parse(line); err == nil {
				err = cfg.limits.check(p)
			}
		}
		if err != nil {
			return cli.Usagef("%s: line %d: %v", in.name, at.Line, err).
				WithHint("Nothing was sent. Correct the line, or leave out such lines with --skip-bad.")
		}
	}
	return context.Cause(ctx)
}

// reportImport prints what became of the lines.
func (a *app) reportImport(r importResult, took time.Duration, checkpoint string, complete bool) error {
	rate := float64(r.Acknowledged) / max(took.Seconds(), 1e-9)
	if a.json() {
		return a.printJSON(struct {
			importResult
			ElapsedNS      int64   `json:"elapsed_ns"`
			LinesPerSecond float64 `json:"lines_per_second"`
			Complete       bool    `json:"complete"`
		}{r, int64(took), rate, complete})
	}
	a.printf("%s: %s acknowledged, %s failed, %s skipped, in %s (%s/s)\n", plural(r.Lines, "line"), cli.GroupDigits(r.Acknowledged),
		cli.GroupDigits(r.Failed), cli.GroupDigits(r.Skipped), roundDuration(took), cli.GroupDigits(int64(rate)))
	for _, code := range slices.Sorted(maps.Keys(r.Errors)) {
		a.printf("  %-16s %s\n", code, cli.GroupDigits(r.Errors[code]))
	}
	if !complete && checkpoint != "" {
		a.note("The checkpoint is %s: the same command with --resume sends the rest.", checkpoint)
	}
	return nil
}

// importError is the error of an import that did not do all.
func importError(r importResult, stopped error) error {
	switch {
	case errors.Is(stopped, errTooManyFailures):
		return &cli.Failure{
			Exit: cli.ExitOther, Code: "INCOMPLETE", Retryable: true,
			Message: fmt.Sprintf("import stopped: %s failed", plural(r.Failed, "line")),
			Hint:    `Look at the ring with "chord ring", then go on with --resume.`,
		}
	case stopped != nil:
		return stopped
	case r.Failed > 0:
		return &cli.Failure{
			Exit: cli.ExitOther, Code: "INCOMPLETE", Retryable: true,
			Message: fmt.Sprintf("import incomplete: %s failed", plural(r.Failed, "line")),
			Hint:    "The same command with --resume tries them again.",
		}
	}
	return nil
}

// maxReports is how many bad or failed lines are shown one by one.
const maxReports = 10

// badLines shows the first bad or failed lines on stderr.
type badLines struct {
	a    *app
	mu   sync.Mutex
	left int
}

func (b *badLines) report(_ lineRef, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left--; b.left >= 0 {
		b.a.note("%s%s", b.a.clearLine(), explain(err).Message)
	} else if b.left == -1 {
		b.a.note("%sMore such lines are only counted.", b.a.clearLine())
	}
}

// clearLine removes what a progress bar has drawn on the line.
func (a *app) clearLine() string {
	if a.progressTo() == nil {
		return ""
	}
	return "\r\x1b[K"
}
