package experiment

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/chordkv/chord/sim"
)

// The settings of a sweep beside its axes.
const (
	settingScenario = "scenario"
	settingSeeds    = "seeds"
)

// Sweep is a grid of runs of one scenario: every combination of the values of its axes, each with every seed.
type Sweep struct {
	Base  sim.Scenario
	Axes  []Sweeping
	First uint64 // seed
	Last  uint64 // seed, at least First
}

// Sweeping is an axis of a Sweep: a field of the scenario and the values that it takes.
type Sweeping struct {
	Path   string // as in a scenario file, with dots and indices: network.loss, churn[0].joins
	Values []string
}

// ParseSweeping reads PATH=VALUE,VALUE,...
func ParseSweeping(text string) (Sweeping, error) {
	path, values, ok := strings.Cut(text, "=")
	if !ok || path == "" || values == "" {
		return Sweeping{}, fmt.Errorf("%q: want PATH=VALUE,VALUE,... such as network.loss=0,0.01", text)
	}
	a := Sweeping{Path: strings.TrimSpace(path)}
	for _, v := range splitValues(values) {
		if v == "" || slices.Contains(a.Values, v) {
			return Sweeping{}, fmt.Errorf("%q: a value is empty or there twice", text)
		}
		a.Values = append(a.Values, v)
	}
	return a, nil
}

// splitValues parts text at the commas that stand in no brackets, so that a value may be a list.
func splitValues(text string) []string {
	var values []string
	depth, from := 0, 0
	for i, c := range text {
		switch {
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		case c == ',' && depth == 0:
			values, from = append(values, strings.TrimSpace(text[from:i])), i+1
		}
	}
	return append(values, strings.TrimSpace(text[from:]))
}

// seeds returns how many seeds each setting runs with.
func (s Sweep) seeds() int { return int(s.Last-s.First) + 1 }

// settings returns how many combinations of values there are.
func (s Sweep) settings() int {
	n := 1
	for _, a := range s.Axes {
		n *= len(a.Values)
	}
	return n
}

// Points returns how many runs the sweep has. Point i has setting i / seeds and seed First + i % seeds.
func (s Sweep) Points() int { return s.settings() * s.seeds() }

// values returns the values of a setting, one for each axis; the last axis changes fastest.
func (s Sweep) values(setting int) []string {
	values := make([]string, len(s.Axes))
	for i, a := range slices.Backward(s.Axes) {
		values[i] = a.Values[setting%len(a.Values)]
		setting /= len(a.Values)
	}
	return values
}

// Scenario returns the scenario of a point. Its errors are those of sim.ParseScenario.
func (s Sweep) Scenario(point int) (sim.Scenario, error) {
	var changes []string
	for i, v := range s.values(point / s.seeds()) {
		changes = append(changes, s.Axes[i].Path+"="+v)
	}
	seed := s.First + uint64(point%s.seeds())
	return With(s.Base, append(changes, "seed="+strconv.FormatUint(seed, 10))...)
}

// maxPoints bounds a sweep, against grids that nobody meant.
const maxPoints = 1_000_000

// Validate checks every setting of the grid, so that a mistake in the last is found before the first has run.
func (s Sweep) Validate() error {
	if err := s.checkGrid(); err != nil {
		return err
	}
	for setting := range s.settings() {
		if _, err := s.Scenario(setting * s.seeds()); err != nil {
			return err
		}
	}
	return nil
}

// checkGrid is Validate without the scenario.
func (s Sweep) checkGrid() error {
	n := s.seeds()
	for i, a := range s.Axes {
		if a.Path == "seed" {
			return errors.New("seed is swept by its own flag")
		}
		if slices.ContainsFunc(s.Axes[:i], func(b Sweeping) bool { return a.Path == b.Path }) {
			return fmt.Errorf("%s is swept twice", a.Path)
		}
		if n *= len(a.Values); n > maxPoints {
			return fmt.Errorf("more than %s points", groupDigits(maxPoints))
		}
	}
	return nil
}

// Meta describes the sweep for its directory. The caller adds what it knows: command, version, commit, Go, shard.
func (s Sweep) Meta() Meta {
	list := []Setting{
		{Name: settingScenario, Value: string(s.Base.YAML())},
		{Name: settingSeeds, Value: fmt.Sprintf("%d..%d", s.First, s.Last)},
	}
	for _, a := range s.Axes {
		list = append(list, Setting{Name: a.Path, Value: strings.Join(a.Values, ",")})
	}
	return Meta{Kind: KindSweep, Name: s.Base.Name, Title: sweepTitle(s.Base.Name), Seed: s.First, Settings: list}
}

func sweepTitle(name string) string { return "Sweep over " + name }

// ParseSeeds reads FIRST..LAST or a single seed.
func ParseSeeds(text string) (first, last uint64, err error) {
	from, to, isRange := strings.Cut(text, "..")
	if !isRange {
		to = from
	}
	first, err1 := strconv.ParseUint(from, 10, 64)
	last, err2 := strconv.ParseUint(to, 10, 64)
	if err1 != nil || err2 != nil || last < first || last-first >= maxPoints {
		return 0, 0, fmt.Errorf("%q: want FIRST..LAST, at most %s seeds", text, groupDigits(maxPoints))
	}
	return first, last, nil
}

// With returns a scenario with some fields changed, each by PATH=VALUE where the value is YAML. Errors of the result are those of
// sim.ParseScenario.
func With(s sim.Scenario, changes ...string) (sim.Scenario, error) {
	if len(changes) == 0 {
		return s, nil
	}
	var tree any
	if err := yaml.UnmarshalWithOptions(s.YAML(), &tree, yaml.UseOrderedMap()); err != nil {
		return s, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	for _, change := range changes {
		path, text, ok := strings.Cut(change, "=")
		if !ok {
			return s, fmt.Errorf("%q: want PATH=VALUE", change)
		}
		var value any
		if err := yaml.UnmarshalWithOptions([]byte(text), &value, yaml.UseOrderedMap()); err != nil {
			return s, fmt.Errorf("%s: %q is no YAML", path, text)
		}
		var err error
		if tree, err = setPath(tree, path, value); err != nil {
			return s, fmt.Errorf("%s: %w", path, err)
		}
	}
	text, err := yaml.MarshalWithOptions(tree, yaml.IndentSequence(true))
	if err != nil {
		return s, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	return sim.ParseScenario(changedName, text)
}

// changedName stands in errors for a scenario that is in no file.
const changedName = "scenario"

// setPath returns the tree with a value at a path such as churn[0].on.mean. Mappings on the way are made where there are none; an
// element of a list must be there, or be the next one.
func setPath(tree any, path string, value any) (any, error) {
	name, rest, _ := strings.Cut(path, ".")
	name, index, indexed := strings.Cut(name, "[")
	items, ok := tree.(yaml.MapSlice)
	if tree != nil && !ok || name == "" {
		return nil, errors.New("no such field")
	}
	at := slices.IndexFunc(items, func(item yaml.MapItem) bool { return item.Key == name })
	var old any
	if at >= 0 {
		old = items[at].Value
	}
	set := func(inner any) (any, error) {
		if rest == "" {
			return value, nil
		}
		return setPath(inner, rest, value)
	}
	var fresh any
	var err error
	if indexed {
		fresh, err = setElement(old, strings.TrimSuffix(index, "]"), set)
	} else {
		fresh, err = set(old)
	}
	if err != nil {
		return nil, err
	}
	if at < 0 {
		return append(items, yaml.MapItem{Key: name, Value: fresh}), nil
	}
	items[at].Value = fresh
	return items, nil
}

// setElement replaces an element of a list by what set makes of it.
func setElement(list any, index string, set func(any) (any, error)) (any, error) {
	elements, _ := list.([]any)
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i > len(elements) {
		return nil, fmt.Errorf("[%s] is not in a list of %d", index, len(elements))
	}
	if i == len(elements) {
		elements = append(elements, nil)
	}
	elements[i], err = set(elements[i])
	return elements, err
}
