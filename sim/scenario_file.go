package sim

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed scenarios
var shipped embed.FS

// shippedPrefix marks the names of files that come with the program instead of the file system.
const shippedPrefix = "shipped:"

// Shipped returns the names of the scenarios that come with the program; ReadScenario reads them as shipped:NAME.yaml.
func Shipped() []string {
	entries, err := shipped.ReadDir("scenarios")
	if err != nil {
		panic("sim: embedded scenarios: " + err.Error())
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok {
			names = append(names, name)
		}
	}
	return names
}

// ReadScenario reads a scenario from a file, or one that comes with the program, and checks all of it, the files that it
// names included. Those are made absolute, so that the scenario can be written elsewhere. Errors of the content are a *ScenarioError.
func ReadScenario(name string) (Scenario, error) {
	text, err := readFile(name)
	if err != nil {
		return Scenario{}, fmt.Errorf("scenario: %w", err)
	}
	return ParseScenario(name, text)
}

// ParseScenario is ReadScenario for a text at hand. name stands in errors, and relative names of files are taken from its directory.
func ParseScenario(name string, text []byte) (Scenario, error) {
	s := DefaultScenario()
	d := decodeYAML(text, &s)
	problems := d.problems
	if err := s.resolve(name); err != nil {
		return Scenario{}, fmt.Errorf("scenario: %w", err)
	}
	for _, p := range d.locate(append(s.problems(), s.outsideProblems()...)) {
		// What could not be read has its default, about which nothing is to be said.
		if !slices.ContainsFunc(d.problems, func(q Problem) bool { return q.Path == p.Path }) {
			problems = append(problems, p)
		}
	}
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
		return Scenario{}, &ScenarioError{File: name, Problems: problems, text: text}
	}
	return s, nil
}

// resolve makes the names of files independent of where the scenario is.
func (s *Scenario) resolve(name string) error {
	files := []*string{&s.Network.Latency.File}
	for i := range s.Churn {
		files = append(files, &s.Churn[i].File)
	}
	for _, f := range files {
		switch {
		case *f == "" || filepath.IsAbs(*f) || strings.HasPrefix(*f, shippedPrefix):
		case strings.HasPrefix(name, shippedPrefix):
			*f = shippedPrefix + *f
		default:
			path, err := filepath.Abs(filepath.Join(filepath.Dir(name), *f))
			if err != nil {
				return err
			}
			*f = path
		}
	}
	return nil
}

// fileProblems reports what is wrong with the files that the scenario names.
func (s Scenario) fileProblems() []Problem {
	var v validator
	if file := s.Network.Latency.File; file != "" {
		if _, err := ReadMatrix(file); err != nil {
			v.bad("network.latency.file", "%v", err)
		}
	}
	for i, c := range s.Churn {
		if c.File == "" {
			continue
		}
		t, err := ReadTrace(c.File)
		if err == nil {
			err = t.check(s.Nodes - s.absent())
		}
		if err != nil {
			v.bad(fmt.Sprintf("churn[%d].file", i), "%v", err)
		}
	}
	return v.problems
}

// readFile reads a file, or one that comes with the program.
func readFile(name string) ([]byte, error) {
	if rest, ok := strings.CutPrefix(name, shippedPrefix); ok {
		text, err := fs.ReadFile(shipped, "scenarios/"+rest)
		if err != nil {
			return nil, fmt.Errorf("%s: no such file comes with the program; its scenarios are %s", name, strings.Join(Shipped(), ", "))
		}
		return text, nil
	}
	return os.ReadFile(name)
}
