package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/chordkv/chord/internal/cli"
	"github.com/chordkv/chord/sim/experiment"
)

// resultFlags say where results go.
type resultFlags struct {
	out   string
	fresh bool
}

// defaultOut is where results go without --out.
const defaultOut = "chordsim-out"

func (f *resultFlags) add(cmd *cobra.Command, what string) {
	fl := cmd.Flags()
	fl.StringVar(&f.out, "out", "", "`directory` for the results (default: "+what+")")
	fl.BoolVar(&f.fresh, "fresh", false, "begin anew, and replace what an earlier run has left in the directory")
	if err := cmd.MarkFlagDirname("out"); err != nil {
		panic(err) // no such flag
	}
}

// dir returns the directory for results of this name. Where they depend on more than that, because something is set otherwise than
// usual, a hash of the settings tells them apart.
func (f *resultFlags) dir(name string, m experiment.Meta, usual bool) string {
	switch {
	case f.out != "":
		return f.out
	case usual:
		return filepath.Join(defaultOut, name)
	}
	text, err := json.Marshal(m.Settings)
	if err != nil {
		panic(err) // of strings
	}
	hash := sha256.Sum256(text)
	return filepath.Join(defaultOut, name+"-"+hex.EncodeToString(hash[:3]))
}

// notResult are the flags on which results do not depend: they are left out of the command that makes them again.
var notResult = []string{
	"out", "fresh", "workers", "shard", "all", "output", "quiet", "no-color", "no-progress", "cpuprofile", "memprofile",
}

// describe completes what is known about results by what the command and the program know.
func (a *app) describe(cmd *cobra.Command, words []string, m experiment.Meta) experiment.Meta {
	m.Command = append([]string{"chordsim", cmd.Name()}, words...)
	cmd.Flags().VisitAll(func(f *pflag.Flag) { // Visit would keep the order of the command line
		if !f.Changed || slices.Contains(notResult, f.Name) {
			return
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			if f.Value.Type() == "bool" && v == "true" {
				m.Command = append(m.Command, "--"+f.Name)
			} else {
				m.Command = append(m.Command, "--"+f.Name, v)
			}
		}
	})
	m.Version, m.Commit, m.Go = a.build.Version, a.build.Commit, a.build.Go
	return m
}

// openDir opens the directory for results.
func (a *app) openDir(path string, m experiment.Meta, fresh bool) (*experiment.Dir, error) {
	d, err := experiment.OpenDir(path, m, fresh)
	if err == nil && d.Outdated != "" {
		a.note("%s: made by commit %s, begins anew", path, d.Outdated)
	}
	return d, err
}

// resultJSON is what a command with results prints with -o json.
type resultJSON struct {
	Kind     string                 `json:"kind"`
	Name     string                 `json:"name"`
	Seed     uint64                 `json:"seed"`
	Dir      string                 `json:"dir"`
	Complete bool                   `json:"complete"`
	Earlier  bool                   `json:"earlier,omitempty"` // finished by an earlier run; nothing was run
	Summary  string                 `json:"summary,omitempty"`
	OK       int                    `json:"ok"`     // comparisons as demanded
	Missed   int                    `json:"missed"` // comparisons not as demanded
	Checksum string                 `json:"checksum,omitempty"`
	Tables   []experiment.TableJSON `json:"tables"`
}

// show prints a report and says where the rest is.
func (a *app) show(m experiment.Meta, d *experiment.Dir, r *experiment.Report, checksum string) error {
	if r == nil {
		r = &experiment.Report{}
	}
	if a.json() {
		ok, missed := r.Verdicts()
		return a.printJSON(resultJSON{
			Kind: m.Kind, Name: m.Name, Seed: m.Seed, Dir: d.Path, Complete: d.Complete, Summary: r.Summary, OK: ok, Missed: missed,
			Checksum: checksum, Tables: r.JSON(),
		})
	}
	a.printReport(r)
	a.printf("\n%s\n", filepath.Join(d.Path, "report.html"))
	return nil
}

// earlier says that there is nothing to do.
func (a *app) earlier(m experiment.Meta, d *experiment.Dir) error {
	if a.json() {
		return a.printJSON(resultJSON{Kind: m.Kind, Name: m.Name, Seed: m.Seed, Dir: d.Path, Complete: true, Earlier: true, Tables: []experiment.TableJSON{}})
	}
	a.printf("%s: finished by an earlier run, --fresh runs it again\n%s\n", m.Name, filepath.Join(d.Path, "report.html"))
	return nil
}

// ended words the end of a command whose directory has been written: an interruption says what is there.
func ended(err error, d *experiment.Dir, hint string) error {
	if !errors.Is(err, context.Canceled) {
		return err
	}
	return &interrupted{left: "what there is so far is in " + d.Path, hint: hint}
}

// demanded is the error of a report in which figures are not as demanded.
func demanded(name string, r *experiment.Report) error {
	ok, missed := r.Verdicts()
	if missed == 0 {
		return nil
	}
	return &cli.Failure{
		Exit: cli.ExitUnhealthy, Code: "NOT_AS_DEMANDED",
		Message: fmt.Sprintf("%s: %d of %s not as demanded", name, missed, plural(ok+missed, "comparison")),
		Hint:    "The tables say which, and by how much.",
	}
}
