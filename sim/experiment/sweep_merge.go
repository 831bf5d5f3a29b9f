package experiment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// ErrParts says that the parts of a sweep do not make a whole; its text names what is missing or does not belong.
var ErrParts = errors.New("the parts do not make a whole")

// part is the directory of a shard.
type part struct {
	path   string
	params paramsJSON
	shard  Shard
}

// FindParts returns the directories of shards among paths, and in those of them that are no results themselves but hold some.
func FindParts(paths ...string) ([]string, error) {
	var found []string
	for _, path := range paths {
		_, err := readParams(path)
		if err == nil {
			found = append(found, path)
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			inner := filepath.Join(path, e.Name())
			if _, err := readParams(inner); err == nil {
				found = append(found, inner)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// partErrors collects what is wrong with the parts of a sweep.
type partErrors []error

func (e *partErrors) add(path, format string, args ...any) {
	*e = append(*e, fmt.Errorf("%w: %s: %s", ErrParts, path, fmt.Sprintf(format, args...)))
}

// readParts reads the parts and checks that they are all parts of one sweep, each there once and finished.
func readParts(paths []string) ([]part, error) {
	var parts []part
	var bad partErrors
	for _, path := range paths {
		params, err := readParams(path)
		if err != nil {
			return nil, err
		}
		shard, err := ParseShard(params.Shard)
		switch {
		case params.Kind != KindSweep || err != nil:
			bad.add(path, "not a shard of a sweep")
		case !params.Complete:
			bad.add(path, "not finished: run shard %s again, it goes on where it stopped", shard)
		default:
			parts = append(parts, part{path, params, shard})
		}
	}
	switch {
	case bad != nil:
		return nil, errors.Join(bad...)
	case len(parts) == 0:
		return nil, fmt.Errorf("%w: there is none", ErrParts)
	}
	return parts, checkParts(parts)
}

// checkParts reports what does not belong to the sweep of the first part, and if there is no such thing, what is missing.
func checkParts(parts []part) error {
	var bad partErrors
	first := parts[0]
	seen := make([]string, first.shard.Of)
	for _, p := range parts {
		like := p.params
		like.Shard = first.params.Shard
		switch {
		case !first.params.same(like):
			bad.add(p.path, "of another sweep than %s: %s", first.path, difference(first.params, like))
		case !first.params.sameCode(like):
			bad.add(p.path, "made by commit %s, and %s by %s", like.Commit, first.path, first.params.Commit)
		case p.shard.Of != first.shard.Of:
			bad.add(p.path, "one of %d shards, while %s is one of %d", p.shard.Of, first.path, first.shard.Of)
		case seen[p.shard.Index] != "":
			bad.add(p.path, "shard %s is also %s", p.shard, seen[p.shard.Index])
		default:
			seen[p.shard.Index] = p.path
		}
	}
	if bad != nil {
		return errors.Join(bad...)
	}
	for i, path := range seen {
		if path == "" {
			bad = append(bad, fmt.Errorf("%w: shard %s is missing", ErrParts, Shard{i, len(seen)}))
		}
	}
	return errors.Join(bad...)
}

// Merge joins the shards of a sweep into the directory that one run of all of it would have made, byte by byte. It returns that
// directory. Errors: ErrParts, and those of OpenDir.
func Merge(out string, fresh bool, paths ...string) (*Dir, *Report, error) {
	parts, err := readParts(paths)
	if err != nil {
		return nil, nil, err
	}
	s, err := sweepOf(parts[0].params)
	if err != nil {
		return nil, nil, err
	}
	results := make([]*Outcome, s.Points())
	for _, p := range parts {
		store := &pointStore{filepath.Join(p.path, pointsDir)}
		for _, i := range p.shard.points(len(results)) {
			if results[i], err = keptPoint[Outcome](store, pointName(sweepLabel, i)); err != nil {
				return nil, nil, err
			}
			if results[i] == nil {
				return nil, nil, fmt.Errorf("%w: %s has no %s that is whole", ErrParts, p.path, pointName(sweepLabel, i))
			}
		}
	}
	report, err := s.report(results)
	if err != nil {
		return nil, nil, err
	}
	dir, err := OpenDir(out, wholeMeta(parts[0].params), fresh)
	if err != nil {
		return nil, nil, err
	}
	return dir, report, dir.Write(report, true, File{"scenario.yaml", []byte(setting(parts[0].params, settingScenario))})
}

// wholeMeta describes the sweep that a shard belongs to.
func wholeMeta(p paramsJSON) Meta {
	m := Meta{
		Kind: p.Kind, Name: p.Name, Title: sweepTitle(p.Name), Command: p.Command, Seed: p.Seed, Version: p.Version, Commit: p.Commit, Go: p.Go,
	}
	for _, s := range p.Settings {
		m.Settings = append(m.Settings, Setting{Name: s.Name, Value: s.Value})
	}
	return m
}

func setting(p paramsJSON, name string) string {
	for _, s := range p.Settings {
		if s.Name == name {
			return s.Value
		}
	}
	return ""
}

// sweepOf rebuilds the grid of a sweep from what its directory says about it. The scenario stays text: to join results, the files that it
// names need not be at hand.
func sweepOf(p paramsJSON) (s Sweep, err error) {
	if s.First, s.Last, err = ParseSeeds(setting(p, settingSeeds)); err != nil {
		return s, err
	}
	for _, setting := range p.Settings {
		if setting.Name == settingScenario || setting.Name == settingSeeds {
			continue
		}
		a, err := ParseSweeping(setting.Name + "=" + setting.Value)
		if err != nil {
			return s, err
		}
		s.Axes = append(s.Axes, a)
	}
	return s, s.checkGrid()
}
