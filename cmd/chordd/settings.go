package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

const (
	envPrefix     = "CHORDD_"
	originDefault = "default"
	originDev     = "default of --dev"
)

// settings collects a Config from its sources: a flag beats the environment, which beats the file, which beats the default.
type settings struct {
	cfg      Config
	file     string
	flags    *pflag.FlagSet    // fills cfg and file
	origins  map[string]string // by flag name, of what is not a default
	warnings []string
}

func newSettings() *settings {
	s := &settings{origins: map[string]string{}}
	s.flags = newFlags(&s.cfg, &s.file)
	return s
}

// load adds environment and file to the flags that were parsed already, and checks the whole. It reports every problem at once.
func (s *settings) load(environ []string) error {
	s.flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			s.origins[f.Name] = "flag --" + f.Name
		}
	})
	problems := s.loadEnvironment(environ)
	if s.file != "" {
		problems = append(problems, s.loadFile()...)
	}
	s.adjustForDev()
	if len(problems) == 0 { // else the values are not the ones that were meant
		problems = append(s.contradictions(), s.located(s.cfg.Validate())...)
	}
	if len(problems) > 0 {
		return &configError{problems}
	}
	return nil
}

// origin says where a setting comes from.
func (s *settings) origin(name string) string {
	if o, ok := s.origins[name]; ok {
		return o
	}
	return originDefault
}

// names returns the names of all settings, which are the keys that a file may have, in the order of --help.
func (s *settings) names() []string {
	var names []string
	s.flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != flagConfig {
			names = append(names, f.Name)
		}
	})
	return names
}

// envVariable returns the environment variable of a setting.
func envVariable(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// loadEnvironment takes CHORDD_UPPER_SNAKE for every flag; an empty variable counts as unset. Unknown ones are only warned about: container
// platforms make up variables from the names of services.
func (s *settings) loadEnvironment(environ []string) (problems []error) {
	variables := map[string]string{}
	for _, name := range append(s.names(), flagConfig) {
		variables[envVariable(name)] = name
	}
	for _, entry := range environ {
		variable, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(variable, envPrefix) || value == "" {
			continue
		}
		name, known := variables[variable]
		if !known {
			s.warnings = append(s.warnings, fmt.Sprintf("unknown environment variable %s is ignored%s",
				variable, didYouMean(variable, slices.Sorted(maps.Keys(variables)))))
			continue
		}
		if err := s.set(name, "environment "+variable, []string{value}); err != nil {
			problems = append(problems, fmt.Errorf("environment %s: %w", variable, err))
		}
	}
	return problems
}

// loadFile takes the settings of the file.
func (s *settings) loadFile() (problems []error) {
	text, err := os.ReadFile(s.file)
	if err != nil {
		return []error{fmt.Errorf("configuration file (%s): %w", s.origin(flagConfig), err)}
	}
	entries, wrong := parseFile(text, s.names())
	for _, e := range entries {
		if err := s.set(e.name, fmt.Sprintf("%s:%d", s.file, e.line), e.values); err != nil {
			wrong = append(wrong, fileProblem{e.line, e.column, fmt.Sprintf("%s: %v", e.name, err)})
		}
	}
	slices.SortStableFunc(wrong, func(a, b fileProblem) int { return a.line - b.line })
	for _, w := range wrong {
		problems = append(problems, w.in(s.file, text))
	}
	return problems
}

// set gives a setting its value unless a stronger source has; the value is checked in either case. Several values, or values with
// commas, are for settings that are lists.
func (s *settings) set(name, origin string, values []string) error {
	var scratch Config
	var file string
	if err := setFlag(newFlags(&scratch, &file), name, values); err != nil {
		return err
	}
	if _, stronger := s.origins[name]; stronger {
		return nil
	}
	s.origins[name] = origin
	return setFlag(s.flags, name, values)
}

func setFlag(flags *pflag.FlagSet, name string, values []string) error {
	f := flags.Lookup(name)
	if _, list := f.Value.(pflag.SliceValue); !list && len(values) != 1 {
		return fmt.Errorf("a list of %d values, want one value", len(values))
	}
	for _, v := range values {
		if err := f.Value.Set(v); err != nil {
			return valueError(f, v, err)
		}
	}
	return nil
}

// valueError says in the words of the user why a flag's value was refused: the errors of strconv name functions of Go.
func valueError(f *pflag.Flag, value string, err error) error {
	switch f.Value.Type() {
	case "int":
		return fmt.Errorf("%q, want a whole number", value)
	case "bool":
		return fmt.Errorf("%q, want true or false", value)
	case "duration":
		return fmt.Errorf("%q, want a duration with its unit, for example 30s or 5m", value)
	}
	return fmt.Errorf("%q, %w", value, err)
}

// adjustForDev replaces the defaults that are different for --dev.
func (s *settings) adjustForDev() {
	if !s.cfg.Dev {
		return
	}
	adjust := func(name string, field *string, value string) {
		if _, given := s.origins[name]; !given {
			*field = value
			s.origins[name] = originDev
		}
	}
	adjust(flagStore, &s.cfg.Store, storeMemory)
	adjust(flagLogLevel, &s.cfg.LogLevel, "warn")
	adjust(flagLogFormat, &s.cfg.LogFormat, "console")
	if _, given := s.origins[flagListen]; given {
		adjust(flagAdmin, &s.cfg.Admin, shiftPort(s.cfg.Listen, devAdminOffset))
	}
}

// contradictions reports settings that would have no effect: who gives them expects something else to happen.
func (s *settings) contradictions() (problems []error) {
	refuse := func(name, why string) {
		if f := s.flags.Lookup(name); f.Value.String() != f.DefValue {
			problems = append(problems, fmt.Errorf("%s: %s (from %s)", name, why, s.origin(name)))
		}
	}
	if s.cfg.Gossip == off {
		refuse("gossip-advertise", "has no effect with --gossip off")
	}
	if !s.cfg.Dev {
		refuse("dev-nodes", "has no effect without --dev")
		return problems
	}
	for _, name := range []string{"join", "bootstrap-expect", "advertise", "gossip-advertise", "data", "sync", "leave-on-stop"} {
		refuse(name, "has no effect with --dev, which is a ring of its own in memory")
	}
	if s.cfg.Store != storeMemory {
		problems = append(problems, fmt.Errorf("store: --dev keeps everything in memory (from %s)", s.origin(flagStore)))
	}
	return problems
}

// located splits a joined error into its problems and adds to each where the setting that it begins with comes from.
func (s *settings) located(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var problems []error
		for _, e := range joined.Unwrap() {
			problems = append(problems, s.located(e)...)
		}
		return problems
	}
	if err == nil {
		return nil
	}
	name, _, _ := strings.Cut(err.Error(), ":")
	if o, ok := s.origins[name]; ok {
		return []error{fmt.Errorf("%w (from %s)", err, o)}
	}
	return []error{err}
}

// configError is everything that is wrong with the configuration.
type configError struct{ problems []error }

func (e *configError) Error() string {
	if len(e.problems) == 1 {
		return "configuration: " + e.problems[0].Error()
	}
	return fmt.Sprintf("%d problems in the configuration:\n%v", len(e.problems), errors.Join(e.problems...))
}

// Unwrap gives errors.Is and errors.As the single problems.
func (e *configError) Unwrap() []error { return e.problems }
