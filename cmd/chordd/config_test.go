package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/chordkv/chord/internal/cli"
)

// TestConfig runs the scripts in testdata/config. Commands:
//
//	file        write the input to chord.yaml
//	env         set the environment to the lines of the input
//	run [rows=(NAME,...)]
//	            run chordd with the input as arguments; rows leaves only these settings of a table
func TestConfig(t *testing.T) {
	scripts, err := filepath.Abs("testdata/config")
	if err != nil {
		t.Fatal(err)
	}
	datadriven.Walk(t, scripts, func(t *testing.T, path string) {
		t.Chdir(t.TempDir())
		var environ []string
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "file":
				if err := os.WriteFile("chord.yaml", []byte(d.Input), 0o600); err != nil {
					t.Fatal(err)
				}
				return ""
			case "env":
				environ = strings.Fields(d.Input)
				return ""
			case "run":
				code, stdout, stderr := runForTest(t, environ, strings.Fields(d.Input)...)
				if d.HasArg("rows") {
					var rows []string
					for _, arg := range d.CmdArgs {
						rows = append(rows, arg.Vals...)
					}
					stdout = onlyRows(stdout, rows)
				}
				if code != cli.ExitOK {
					stderr += fmt.Sprintf("exit %d\n", code)
				}
				return stdout + stderr
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}

// runForTest runs a command that ends by itself.
func runForTest(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code = run(context.Background(), surroundings{args: args, environ: environ, stdout: &out, stderr: &errOut})
	return code, out.String(), errOut.String()
}

// onlyRows keeps the lines of a table that begin with one of the names, columns parted by a single tab.
func onlyRows(table string, names []string) string {
	var kept strings.Builder
	for line := range strings.Lines(table) {
		name, rest, _ := strings.Cut(strings.TrimRight(line, "\n"), "  ")
		if slices.Contains(names, name) {
			kept.WriteString(name + " = " + strings.Join(strings.Fields(rest), " ") + "\n")
		}
	}
	return kept.String()
}

// The YAML that "chordd config" prints is a configuration file that means the same.
func TestConfigYAMLRoundTrip(t *testing.T) {
	t.Chdir(t.TempDir())
	environ := []string{"CHORDD_JOIN=10.0.0.1:7400,dnssrv://_chord._tcp.chord.test,file:///etc/chord/members", "CHORDD_STOP_TIMEOUT=90s", "CHORDD_LEAVE_ON_STOP=true"}
	code, text, stderr := runForTest(t, environ, "config", "-o", "yaml", "--replicas", "5")
	if code != cli.ExitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if err := os.WriteFile("chord.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := configValues(t, environ, "--replicas", "5")
	got := configValues(t, nil, "--config", "chord.yaml")
	for name, value := range want {
		if fmt.Sprint(got[name]) != fmt.Sprint(value) {
			t.Errorf("%s: got %v, want %v", name, got[name], value)
		}
	}
}

func configValues(t *testing.T, environ []string, args ...string) map[string]any {
	t.Helper()
	code, stdout, stderr := runForTest(t, environ, append([]string{"config", "-o", "json"}, args...)...)
	if code != cli.ExitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var settings map[string]struct{ Value any }
	if err := json.Unmarshal([]byte(stdout), &settings); err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	for name, s := range settings {
		values[name] = s.Value
	}
	return values
}

// Every setting can be given by each of the three sources, under the name that follows from its flag's.
func TestEverySettingFromEverySource(t *testing.T) {
	t.Chdir(t.TempDir())
	other := map[string]string{ // a valid value that is not the default
		"listen": "127.0.0.1:1", "advertise": "127.0.0.1:2", "join": "127.0.0.1:3", "bootstrap-expect": "1", "data": "elsewhere",
		"store": "memory", "sync": "never", "replicas": "4", "write-quorum": "3", "read-quorum": "3", "successors": "7", "vnodes": "9",
		"max-key-bytes": "99", "max-value-bytes": "999", "admin": "off", "insecure": "true", "leave-on-stop": "true",
		"gossip": "127.0.0.1:4", "gossip-advertise": "127.0.0.1:5", "gossip-pace": "5s", "routing-peers": "12", "finger-base": "4", "finger-candidates": "3", "minority": "serve", "forget-dead": "9m0s", "grace": "11m0s", "tombstone-grace": "8h0m0s", "repair-interval": "3m0s", "repair-rate": "65536", "scrub-interval": "1h0m0s", "zone": "here", "stop-timeout": "7s", "log-level": "debug", "log-format": "json", "dev": "true", "dev-nodes": "6",
	}
	for _, name := range newSettings().names() {
		value, ok := other[name]
		if !ok {
			t.Errorf("no value for the setting %s in this test", name)
			continue
		}
		extra := []string{}
		if name == "dev-nodes" {
			extra = []string{"--dev"}
		}
		if err := os.WriteFile("chord.yaml", []byte(name+": "+value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		variable := "CHORDD_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "=" + value
		for source, values := range map[string]map[string]any{
			"flag":        configValues(t, nil, append(extra, "--"+name+"="+value)...),
			"environment": configValues(t, []string{variable}, extra...),
			"file":        configValues(t, nil, append(extra, "--config", "chord.yaml")...),
		} {
			if got := strings.Trim(fmt.Sprint(values[name]), "[]"); got != value {
				t.Errorf("%s from %s: got %s, want %s", name, source, got, value)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	code, stdout, stderr := runForTest(t, nil, "version", "-o", "json")
	var got build
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != cli.ExitOK {
		t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	if got != version() || got.Protocol != "chord.v1" || !strings.HasPrefix(got.Go, "go1.") {
		t.Errorf("got %+v", got)
	}
	_, text, _ := runForTest(t, nil, "version")
	if _, flag, _ := runForTest(t, nil, "--version"); text != flag {
		t.Errorf("chordd version: %q, chordd --version: %q, want the same", text, flag)
	}
}

func TestCompletion(t *testing.T) {
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"--store", ""}, []string{"pebble", "memory"}},
		{[]string{"--write-"}, []string{"--write-quorum"}},
		{[]string{"config", "--output", ""}, []string{"table", "json", "yaml"}},
	} {
		_, stdout, _ := runForTest(t, nil, append([]string{"__complete"}, test.args...)...)
		for _, want := range test.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("completion of %q: got %q, want %s in it", test.args, stdout, want)
			}
		}
	}
	if code, stdout, _ := runForTest(t, nil, "completion", "bash"); code != cli.ExitOK || !strings.Contains(stdout, "chordd") {
		t.Errorf("no bash completion: exit %d", code)
	}
}
