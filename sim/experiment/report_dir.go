package experiment

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Errors of a directory for results. Both leave it as it was.
var (
	// ErrForeign: the directory has something in it that this package did not make. Choose another.
	ErrForeign = errors.New("not a directory of results")
	// ErrOther: the directory has the results of another run. Choose another, or open it with fresh to replace them.
	ErrOther = errors.New("results of another run")
)

// Meta says how results came about, so that anybody can have them again. It names neither host nor time of day.
type Meta struct {
	Kind     string    // KindExperiment, KindRun or KindSweep
	Name     string    // of the experiment or scenario
	Title    string    // one line
	Source   string    // the paper; may be empty
	About    string    // paragraphs; may be empty
	Command  []string  // what repeats it, word by word
	Seed     uint64    //
	Settings []Setting // everything else that the result depends on
	Version  string    // of the program
	Commit   string    // names the code exactly
	Go       string    // version of Go
	Shard    Shard     // of a sweep; zero for the whole
}

// The kinds of results.
const (
	KindExperiment = "experiment"
	KindRun        = "run"
	KindSweep      = "sweep"
)

// paramsFile is the name of the file that marks a directory as ours.
const paramsFile = "params.json"

// pointsDir is the subdirectory for the finished points of a run that is under way.
const pointsDir = "points"

// paramsJSON is params.json.
type paramsJSON struct {
	MadeBy   string        `json:"made_by"`
	Kind     string        `json:"kind"`
	Name     string        `json:"name"`
	Command  []string      `json:"command"`
	Seed     uint64        `json:"seed"`
	Settings []settingJSON `json:"settings"`
	Version  string        `json:"version"`
	Commit   string        `json:"commit"`
	Go       string        `json:"go"`
	Shard    string        `json:"shard,omitempty"`
	Complete bool          `json:"complete"`
	Files    []string      `json:"files"` // all that were written beside this one
}

type settingJSON struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

const madeBy = "chordsim"

func (m Meta) json() paramsJSON {
	p := paramsJSON{
		MadeBy: madeBy, Kind: m.Kind, Name: m.Name, Command: m.Command, Seed: m.Seed, Version: m.Version, Commit: m.Commit, Go: m.Go,
		Shard: m.Shard.String(), Settings: []settingJSON{}, Files: []string{},
	}
	for _, s := range m.Settings {
		p.Settings = append(p.Settings, settingJSON{s.Name, s.Value})
	}
	return p
}

// same reports whether two directories hold results of the same run, whatever the words of the command and the code.
func (p paramsJSON) same(q paramsJSON) bool {
	return p.Kind == q.Kind && p.Name == q.Name && p.Seed == q.Seed && p.Shard == q.Shard && slices.Equal(p.Settings, q.Settings)
}

// sameCode reports whether two results were made by the same program.
func (p paramsJSON) sameCode(q paramsJSON) bool {
	return p.Version == q.Version && p.Commit == q.Commit && p.Go == q.Go
}

// Dir is a directory for the results of one run.
type Dir struct {
	// Path is where it is.
	Path string
	// Complete says that an earlier run of the same settings and code has finished here.
	Complete bool
	// Outdated is the commit of an earlier run of the same settings, whose results are replaced because the code is another; else empty.
	Outdated string

	meta  Meta
	files []string // of the earlier run
}

// OpenDir makes a directory for results, or takes one that it made before: what an interrupted run of the same settings and code has
// finished is used again, and what another program has made of the same settings is replaced. With fresh it begins anew and replaces whatever
// run's results are there. It never touches a directory that has something else in it (ErrForeign).
func OpenDir(path string, meta Meta, fresh bool) (*Dir, error) {
	d := &Dir{Path: path, meta: meta}
	old, err := readParams(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := refuseForeign(path); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	case !fresh && !old.same(meta.json()):
		return nil, fmt.Errorf("%s: %w: %s", path, ErrOther, difference(old, meta.json()))
	case !fresh && old.sameCode(meta.json()):
		d.Complete, d.files = old.Complete, old.Files
		return d, nil
	default:
		if !fresh {
			d.Outdated = old.Commit
		}
		d.files = old.Files
		if err := d.clear(); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	return d, d.mark(false)
}

// Meta returns what the directory's results are of.
func (d *Dir) Meta() Meta { return d.meta }

// difference says in what another run's results differ, the first thing.
func difference(old, now paramsJSON) string {
	switch {
	case old.Kind != now.Kind || old.Name != now.Name:
		return fmt.Sprintf("%s %s, not %s %s", old.Kind, old.Name, now.Kind, now.Name)
	case old.Seed != now.Seed:
		return fmt.Sprintf("seed %d, not %d", old.Seed, now.Seed)
	case old.Shard != now.Shard:
		return fmt.Sprintf("shard %q, not %q", old.Shard, now.Shard)
	}
	for i, s := range now.Settings {
		if i >= len(old.Settings) || old.Settings[i] != s {
			return "with another " + s.Name
		}
	}
	return "with more settings"
}

func readParams(path string) (paramsJSON, error) {
	data, err := os.ReadFile(filepath.Join(path, paramsFile))
	if err != nil {
		return paramsJSON{}, err
	}
	var p paramsJSON
	if err := json.Unmarshal(data, &p); err != nil || p.MadeBy != madeBy {
		return paramsJSON{}, fmt.Errorf("%s: %w: its %s is not ours", path, ErrForeign, paramsFile)
	}
	return p, nil
}

// refuseForeign returns nil if there is nothing at path, or an empty directory.
func refuseForeign(path string) error {
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("%s: %w: it has %s in it", path, ErrForeign, entries[0].Name())
	}
	return nil
}

// clear removes what the earlier run wrote and nothing else.
func (d *Dir) clear() error {
	if err := d.clearPoints(); err != nil {
		return err
	}
	return d.clearStale(nil)
}

func (d *Dir) clearPoints() error { return os.RemoveAll(filepath.Join(d.Path, pointsDir)) }

// clearStale removes the files of the earlier run but for those that are about to be replaced.
func (d *Dir) clearStale(replaced []string) error {
	for _, name := range d.files {
		if slices.Contains(replaced, name) {
			continue
		}
		if !filepath.IsLocal(name) {
			return fmt.Errorf("%s: %w: its %s lists %q", d.Path, ErrForeign, paramsFile, name)
		}
		if err := os.Remove(filepath.Join(d.Path, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	d.files = nil
	return nil
}

// Resumable returns the parameters with the directory as the place where Points keeps what is finished, and where it finds what an
// interrupted run has left.
func (d *Dir) Resumable(p Params) (Params, error) {
	p.store = &pointStore{filepath.Join(d.Path, pointsDir)}
	return p, os.MkdirAll(p.store.dir, 0o755)
}
