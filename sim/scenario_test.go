package sim_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/chordkv/chord/sim"
)

// TestScenarioFiles runs the scripts in testdata/scenario. Commands:
//
//	file NAME   write the input to a file beside the scenario
//	parse       read the input as a scenario; print what differs from the defaults, or everything that is wrong with it
func TestScenarioFiles(t *testing.T) {
	scripts, err := filepath.Abs("testdata/scenario")
	if err != nil {
		t.Fatal(err)
	}
	datadriven.Walk(t, scripts, func(t *testing.T, path string) {
		dir := t.TempDir()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "file":
				if err := os.WriteFile(filepath.Join(dir, d.CmdArgs[0].Key), []byte(d.Input), 0o600); err != nil {
					t.Fatal(err)
				}
				return ""
			case "parse":
				s, err := sim.ParseScenario(filepath.Join(dir, "test.yaml"), []byte(d.Input))
				out := string(s.YAML())
				if err != nil {
					out = err.Error() + "\n"
				}
				return strings.ReplaceAll(out, dir+string(filepath.Separator), "")
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}

// What YAML writes is a file that means the same, for every scenario that comes with the program.
func TestScenarioRoundTrip(t *testing.T) {
	for _, name := range sim.Shipped() {
		want, err := sim.ReadScenario("shipped:" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		got, err := sim.ParseScenario("elsewhere/again.yaml", want.YAML())
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, want.YAML())
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

// A scenario that is read from a file names its files absolutely, so that it can be written down elsewhere.
func TestScenarioFileNamesAreAbsolute(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"rtt.txt": "0 10\n10 0\n", "churn.csv": "5,0,crash\n",
		"a.yaml": "nodes: 20\nnetwork: {latency: {model: matrix, file: rtt.txt}}\nchurn: [{kind: trace, file: ./churn.csv}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := sim.ReadScenario(filepath.Join(dir, "a.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.Network.Latency.File, filepath.Join(dir, "rtt.txt"); got != want {
		t.Errorf("matrix: got %s, want %s", got, want)
	}
	if got, want := s.Churn[0].File, filepath.Join(dir, "churn.csv"); got != want {
		t.Errorf("trace: got %s, want %s", got, want)
	}
}

// A scenario that was not read from a file is checked all the same, with the paths of the fields.
func TestValidateWithoutFile(t *testing.T) {
	s := sim.DefaultScenario()
	if err := s.Validate(); err != nil {
		t.Fatalf("the default scenario: %v", err)
	}
	s.Nodes, s.Node.Successors = 0, 0
	s.Workload = []sim.Workload{{Op: sim.OpPut, Rate: -1}}
	err := s.Validate()
	var wrong *sim.ScenarioError
	if !errors.As(err, &wrong) {
		t.Fatalf("got %v, want a ScenarioError", err)
	}
	for _, want := range []string{"nodes: 0", "node.successors: 0", "workload[0].keys: 0", "workload[0].rate: -1"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func TestMissingScenarioFile(t *testing.T) {
	if _, err := sim.ReadScenario(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want %v", err, os.ErrNotExist)
	}
	if _, err := sim.ReadScenario("shipped:none.yaml"); err == nil || !strings.Contains(err.Error(), "standard-faults") {
		t.Errorf("got %v, want the names of those that there are", err)
	}
}

// Every line of YAML that a scenario with all fields set gives is read back: no field lacks a text form.
func TestEveryFieldHasATextForm(t *testing.T) {
	s := sim.DefaultScenario()
	fill(reflect.ValueOf(&s).Elem())
	_, err := sim.ParseScenario("all.yaml", s.YAML())
	var wrong *sim.ScenarioError
	if !errors.As(err, &wrong) {
		t.Fatalf("got %v, want only complaints about values", err)
	}
	for _, p := range wrong.Problems {
		if strings.Contains(p.Message, "unknown field") || strings.Contains(p.Message, "want a duration") || strings.Contains(p.Message, "whole number") {
			t.Errorf("%s: %s", p.Path, p.Message)
		}
	}
}

// fill sets every field to a value that is not its default.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.String:
		v.SetString("something: else")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Uint64:
		v.SetUint(v.Uint() + 7)
	case reflect.Float64:
		v.SetFloat(v.Float() + 0.0625)
	default:
		v.SetInt(v.Int() + int64(time.Millisecond))
	}
}

// The description of the format names every field and every kind.
func TestEveryFieldIsDescribed(t *testing.T) {
	text, err := os.ReadFile("scenarios/README.md")
	if err != nil {
		t.Fatal(err)
	}
	s := sim.DefaultScenario()
	fill(reflect.ValueOf(&s).Elem())
	names := regexp.MustCompile(`(?m)^[- ]*"?([a-z-]+)"?:`).FindAllSubmatch(s.YAML(), -1)
	if len(names) < 70 {
		t.Fatalf("only %d fields in %s", len(names), s.YAML())
	}
	for _, n := range names {
		if !bytes.Contains(text, []byte("`"+string(n[1])+"`")) {
			t.Errorf("scenarios/README.md says nothing about %s", n[1])
		}
	}
}
